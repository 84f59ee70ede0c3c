"""Policies and critics. A policy maps observations to a `torch.distributions.Distribution`, a critic to values.

Tables are enough for the maze: one row of numbers a square. `seeds` adds a leading axis, so that many independent
trainings run as one: seed k reads and learns only row k.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Categorical


class TabularPolicy(nn.Module):
    """A softmax over actions for each state; all actions start equally likely.

    logits: (*seeds, n_states, n_actions) parameter, float64 unless `dtype` says otherwise.
    policy(observations): ids (*seeds, ...) -> Categorical over actions, batch shape (*seeds, ...).
    """

    def __init__(self, n_states: int = 16, n_actions: int = 4, *, seeds: tuple[int, ...] = (), dtype=torch.float64):
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(*seeds, n_states, n_actions, dtype=dtype))

    @property
    def probs(self) -> Tensor:
        """The whole table of probabilities, (*seeds, n_states, n_actions), without gradient."""
        return torch.softmax(self.logits.detach(), -1)

    def forward(self, observations: Tensor) -> Categorical:
        return Categorical(logits=_rows(self.logits, observations), validate_args=False)


class TabularCritic(nn.Module):
    """One value for each state, all zero at first. critic(observations): ids (*seeds, ...) -> values (*seeds, ...)."""

    def __init__(self, n_states: int = 16, *, seeds: tuple[int, ...] = (), dtype=torch.float64):
        super().__init__()
        self.table = nn.Parameter(torch.zeros(*seeds, n_states, dtype=dtype))

    def forward(self, observations: Tensor) -> Tensor:
        return _rows(self.table[..., None], observations)[..., 0]


def _rows(table: Tensor, observations: Tensor) -> Tensor:
    """Look ids up in a table with leading seeds: (*seeds, S, D), (*seeds, ...) -> (*seeds, ..., D)."""
    seeds, (states, width) = table.shape[:-2], table.shape[-2:]
    if observations.is_floating_point() or observations.shape[: len(seeds)] != seeds:
        raise ValueError(
            f"observations must be state ids (integers) with leading axes {tuple(seeds)}, one for each seed; "
            f"got {observations.dtype} {tuple(observations.shape)}"
        )
    first = torch.arange(seeds.numel(), device=table.device).view(*seeds, *[1] * (observations.ndim - len(seeds)))
    index = (observations + first * states).flatten()
    return table.reshape(-1, width).index_select(0, index).view(*observations.shape, width)
