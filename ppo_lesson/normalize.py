"""Running means and variances, and what they are for: observations near 0 with spread 1, returns with spread 1.

Statistics change between rollouts only, never inside one: so the first ratio of an update is exactly 1. They are
buffers of modules, so that a checkpoint of the network holds them too.
"""

import torch
from torch import Tensor, nn

from .validate import not_empty, number, positive, require


class Moments(nn.Module):
    """Mean and variance of all numbers seen so far; shape: of one such number or vector. Mean 0, variance 1 at first.

    update(x): x (*shape[:-1], n, shape[-1]) adds n vectors, by the formula for merging two samples (Chan, Golub and
    LeVeque 1979). Biased variance.
    """

    def __init__(self, *shape: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("variance", torch.ones(shape, dtype=torch.float64))
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))

    @torch.no_grad()
    def update(self, x: Tensor) -> None:
        not_empty("x", x)  # the mean of nothing, NaN, would stay for ever
        x = x.to(self.mean)
        n, m = self.count, x.shape[-2]
        shift = x.mean(-2) - self.mean
        squares = self.variance * n + x.var(-2, correction=0) * m + shift.square() * n * m / (n + m)
        self.mean += shift * m / (n + m)
        self.variance.copy_(squares / (n + m))
        self.count += m


class Standardize(nn.Module):
    """(x - mean) / standard deviation of the observations seen so far, limited to +-`limit`.

    x: (*seeds, ..., inputs). Changes nothing, but for the limit, until `update` has seen observations.
    """

    def __init__(self, inputs: int, *, seeds: tuple[int, ...] = (), limit: float = 10.0):
        super().__init__()
        self.moments, self.seeds, self.limit = Moments(*seeds, inputs), seeds, positive("limit", limit)

    def forward(self, x: Tensor) -> Tensor:
        shape = (*self.seeds, *[1] * (x.ndim - len(self.seeds) - 1), x.shape[-1])
        mean, variance = self.moments.mean.view(shape), self.moments.variance.view(shape)
        return ((x - mean) / (variance + 1e-8).sqrt()).clamp(-self.limit, self.limit)

    def update(self, x: Tensor) -> None:
        require(x.is_floating_point(), ValueError, "numbers", "ids")
        self.moments.update(x.reshape(*self.seeds, -1, x.shape[-1]))


def observe(observations: Tensor, *modules: nn.Module) -> None:
    """Show new observations to every `Standardize` inside `modules`."""
    for part in (part for module in modules for part in module.modules() if isinstance(part, Standardize)):
        part.update(observations)


class RewardScale(nn.Module):
    """Rewards divided by the standard deviation of the discounted return so far, limited to +-`limit`; mean untouched.

    Dividing by a constant leaves the task the same; subtracting a mean would not (every step would pay differently).
    Source: the OpenAI baselines code (`VecNormalize`); measured by Engstrom et al. 2020, sec. 3.
    """

    def __init__(self, gamma: float, *, limit: float = 10.0):
        super().__init__()
        self.gamma, self.limit, self.moments = number("gamma", gamma, 0.0, 1.0), positive("limit", limit), Moments(1)
        self.restart()

    def restart(self) -> None:
        """All environments begin new episodes."""
        self.running = torch.zeros(())

    def forward(self, rewards: Tensor, ended: Tensor, mask: Tensor) -> Tensor:
        """All (n, T), one rollout after the other -> scaled rewards (n, T). The statistics follow first.

        A step outside the mask pays nothing and is not counted.
        """
        seen = []
        for reward, end in zip(rewards.double().where(mask, 0).unbind(-1), ended.unbind(-1)):
            self.running = reward + self.gamma * self.running
            seen.append(self.running)
            self.running = self.running.masked_fill(end, 0.0)
        self.moments.update(torch.stack(seen, -1)[mask][:, None])
        return (rewards / (self.moments.variance + 1e-8).sqrt()).clamp(-self.limit, self.limit).to(rewards)
