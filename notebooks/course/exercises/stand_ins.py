"""Stand-ins for actor, critic and reference: models small enough to see what a loop did to every token's number."""

from __future__ import annotations

import torch
from torch import nn


class StandIn(nn.Module):
    """A model with one number of its own for every token; if `shared`, also one that is added to all of them.

    model(ids) gives (B, L) whatever the ids: an actor's log-probabilities, or a critic's values. SGD then moves each
    number by lr times its own gradient.
    """

    def __init__(self, numbers, shared: bool = False):
        super().__init__()
        self.numbers = nn.Parameter(numbers.clone())
        self.all = nn.Parameter(torch.zeros((), dtype=numbers.dtype), requires_grad=shared)

    def forward(self, ids):
        return self.numbers + self.all

    def __repr__(self):
        return f"StandIn{tuple(self.numbers.shape)}"


class _SGD(torch.optim.SGD):
    def __repr__(self):
        return f"SGD(lr={self.param_groups[0]['lr']:g})"


def situation(
    seed: int,
    pads=(2, 0, 1),
    prompts=(2, 3, 1),
    lengths=(4, 2, 3),
    *,
    spare: int = 1,
    beta: float = 0.1,
    epochs: int = 1,
    lr: float = 0.5,
    shared: bool = False,
    outside=None,
    lower: float = 0.0,
    dtype=torch.float64,
) -> tuple:
    """A batch of B rows [padding, prompt, reply, padding] as the arguments of `ppo_iteration`, in their order.

    outside: a number for every place that is not a reply, where otherwise stand numbers like all others. lower: taken
    off all log-probabilities.
    """
    g = torch.Generator().manual_seed(seed)
    starts = torch.tensor(pads) + torch.tensor(prompts)
    ends = starts + torch.tensor(lengths)
    places = torch.arange(int(ends.max()) + spare)
    mask = (places >= starts[:, None]) & (places < ends[:, None])

    def numbers(low, high):
        x = low + (high - low) * torch.rand(mask.shape, generator=g, dtype=dtype)
        return x if outside is None else x.where(mask, outside)

    logp = numbers(-3.0, -0.1) - lower
    actor = StandIn(logp, shared)
    reference = StandIn(logp + numbers(-0.4, 0.4))
    critic = StandIn(numbers(-1.0, 1.0), shared)
    optimizer = _SGD([p for model in (actor, critic) for p in model.parameters() if p.requires_grad], lr=lr)
    ids = torch.randint(5, mask.shape, generator=g)
    scores = 2 * torch.randn(len(mask), generator=g, dtype=dtype)
    return actor, critic, reference, optimizer, ids, mask, scores, beta, epochs


def after(fn, case) -> tuple:
    """What actor and critic say about the real tokens after fn(*case), two vectors."""
    fn(*case)
    return tuple(model(case[4]).detach()[case[5]] for model in case[:2])


def movement(fn, case) -> tuple:
    """By how much fn(*case) moves the numbers of actor and critic, (B, L) each."""
    before = [model.numbers.detach().clone() for model in case[:2]]
    fn(*case)
    return tuple(model.numbers.detach() - old for model, old in zip(case[:2], before))
