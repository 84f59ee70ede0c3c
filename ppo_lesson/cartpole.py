"""Gymnasium's CartPole-v1 as tensors (Barto, Sutton and Anderson 1983): all carts of all trainings move together.

    for row in ppo(CartPole(), MLPPolicy(4, 2, seed=range(16)), MLPCritic(4, seed=range(16)), config, seed=range(16)):

The same numbers as Gymnasium's, float64 inside and float32 for the networks; `config.robots` carts in each training.
Left out: pictures of it, other integrators than Euler's, and other rewards.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from . import validate
from .rollout import Rollout
from .validate import require

GRAVITY, CART, POLE, HALF, FORCE, TAU = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02  # m/s^2, kg, kg, m (of its length), N, s
FARTHEST = torch.tensor([2.4, 12 * 2 * math.pi / 360], dtype=torch.float64)  # m, rad: beyond, the episode ends


@dataclass(frozen=True)
class CartPole:
    """A pole on a cart, pushed left (0) or right (1); each step pays 1. limit: steps until an episode is cut off."""

    limit: int = 500

    def __post_init__(self):
        validate.integer("limit", self.limit, 1)


def euler(states: Tensor, actions: Tensor) -> Tensor:
    """(..., 4) position, speed, angle, angular speed; (...) 0 or 1 -> (..., 4), one step of `TAU` seconds later."""
    _, speed, angle, turning = states.unbind(-1)
    sin, cos = angle.sin(), angle.cos()
    push = (actions * (2 * FORCE) - FORCE + POLE * HALF * turning.square() * sin) / (CART + POLE)
    twist = (GRAVITY * sin - cos * push) / (HALF * (4 / 3 - POLE * cos.square() / (CART + POLE)))
    return states + TAU * torch.stack([speed, push - POLE * HALF * twist * cos / (CART + POLE), turning, twist], -1)


class CartPoleBatch:
    """n carts, or n in each of K trainings. seed: an int, or K ints for states (K, n, 4), as in `MazeBatch`.

    A cart that falls, leaves or reaches the limit stands at a new start at once; `step` still tells where it arrived.
    """

    def __init__(self, env: CartPole, n: int, *, seed: int | Sequence[int] = 0):
        self.env, self.n = env, validate.integer("n", n, 1)
        self.seeds, self.seed_numbers = validate.seeds_of(seed)
        self.restart(self.seed_numbers)

    def restart(self, seeds: Sequence[int]) -> None:
        """All carts to new starts, all random numbers from the beginning, for one number a seed."""
        self.generators = [torch.Generator().manual_seed(s) for s in seeds]
        self.exact = self.starts(1)[0]  # (*seeds, n, 4) float64
        self.age = torch.zeros(*self.seeds, self.n, dtype=torch.long)  # steps of the episode so far

    @property
    def states(self) -> Tensor:
        """What the networks see, (*seeds, n, 4) float32."""
        return self.exact.float()

    def uniforms(self, *shape: int) -> Tensor:
        """Fresh random numbers in [0, 1), (shape[0], *seeds, n, *shape[1:]): as many from every seed's generator."""
        draws = [torch.rand(shape[0], self.n, *shape[1:], generator=g, dtype=torch.float64) for g in self.generators]
        return torch.stack(draws, 1).view(shape[0], *self.seeds, self.n, *shape[1:])

    def starts(self, count: int) -> Tensor:
        """States near upright and at rest, each number uniform in +-0.05, (count, *seeds, n, 4)."""
        return self.uniforms(count, 4) / 10 - 0.05

    def fingerprint(self) -> str:
        """What must be the same when a run goes on."""
        return f"{self.n} x {self.env}"

    def step(self, actions: Tensor, starts: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """actions (*seeds, n), starts (*seeds, n, 4) for those that end -> arrived, terminated, truncated, returns."""
        arrived, self.age = euler(self.exact, actions), self.age + 1
        terminated = (arrived[..., ::2].abs() > FARTHEST).any(-1)
        truncated = (self.age >= self.env.limit) & ~terminated
        ended = terminated | truncated
        returns, self.age = self.age * ended, self.age * ~ended
        self.exact = torch.where(ended[..., None], starts, arrived)
        return arrived.float(), terminated, truncated, returns

    @torch.no_grad()
    def collect(self, policy, steps: int, critic=None) -> Rollout:
        """Every cart takes `steps` steps from where it stands. Fields (*seeds, n, T, ...); mask all true."""
        draws, wanted, columns = self.uniforms(validate.integer("steps", steps, 1)).float(), (*self.age.shape, 2), []
        for u, starts in zip(draws, self.starts(steps)):
            seen = self.states
            probs = getattr(policy(seen), "probs", seen[..., :0])  # of none: a Gaussian policy has none
            require(probs.shape == wanted, ValueError, "numbers", "table", 2, wanted, tuple(probs.shape))
            actions = (u < probs[..., 1]).long()
            columns.append((seen, actions, *self.step(actions, starts)))
        seen, actions, arrived, terminated, truncated, returns = (torch.stack(x, self.age.ndim) for x in zip(*columns))
        values = () if critic is None else (critic(seen), critic(arrived))
        logp, rewards, mask = policy(seen).log_prob(actions), torch.ones(actions.shape), torch.ones_like(terminated)
        return Rollout(seen, actions, logp, rewards, terminated, truncated, mask, arrived, returns.float(), *values)
