"""Policies and critics. A policy maps observations to a `torch.distributions.Distribution`, a critic to values.

Tables are enough for the maze: one row of numbers a square. `seeds` adds a leading axis, so that many independent
trainings run as one: seed k reads and learns only row k.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution

from .objectives import entropy


class TabularPolicy(nn.Module):
    """A softmax over actions for each state; all actions start equally likely.

    logits: (*seeds, n_states, n_actions) parameter, float64 unless `dtype` says otherwise.
    policy(observations): ids (*seeds, ...) -> a categorical distribution over actions, batch shape (*seeds, ...).
    """

    def __init__(self, n_states: int = 16, n_actions: int = 4, *, seeds: tuple[int, ...] = (), dtype=torch.float64):
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(*seeds, n_states, n_actions, dtype=dtype))

    @property
    def probs(self) -> Tensor:
        """The whole table of probabilities, (*seeds, n_states, n_actions), without gradient."""
        return torch.softmax(self.logits.detach(), -1)

    def forward(self, observations: Tensor) -> TableCategorical:
        return TableCategorical(self.logits, observations)


class TabularCritic(nn.Module):
    """One value for each state, all zero at first. critic(observations): ids (*seeds, ...) -> values (*seeds, ...)."""

    def __init__(self, n_states: int = 16, *, seeds: tuple[int, ...] = (), dtype=torch.float64):
        super().__init__()
        self.table = nn.Parameter(torch.zeros(*seeds, n_states, dtype=dtype))

    def forward(self, observations: Tensor) -> Tensor:
        return self.table.flatten()[_rows(self.table.shape, observations)]


class TableCategorical(Distribution):
    """Categorical(logits=table[observations]), with one softmax per row of the table, not per step.

    table: (*seeds, S, A) logits; observations: ids (*seeds, ...). Same numbers as torch's Categorical.
    """

    arg_constraints = {}  # noqa: RUF012 (torch's own convention)

    def __init__(self, table: Tensor, observations: Tensor):
        self.logp = torch.log_softmax(table, -1).reshape(-1, table.shape[-1])  # (rows, A)
        self.rows = _rows(table.shape[:-1], observations)  # (*seeds, ...)
        super().__init__(observations.shape, validate_args=False)

    @property
    def logits(self) -> Tensor:
        return self.logp[self.rows]

    @property
    def probs(self) -> Tensor:
        return self.logits.exp()

    def log_prob(self, value: Tensor) -> Tensor:
        return self.logp.flatten()[self.rows * self.logp.shape[-1] + value]

    def entropy(self) -> Tensor:
        return entropy(self.logp)[self.rows]

    def sample(self, sample_shape=()) -> Tensor:
        return Categorical(logits=self.logits).sample(sample_shape)


def _rows(shape: torch.Size, observations: Tensor) -> Tensor:
    """Where each observation's row lies in a table (*seeds, S, ...) written as one long list of rows."""
    *seeds, states = shape
    if observations.is_floating_point() or list(observations.shape[: len(seeds)]) != seeds:
        raise ValueError(
            f"observations must be state ids (integers) with leading axes {tuple(seeds)}, one for each seed; "
            f"got {observations.dtype} {tuple(observations.shape)}"
        )
    if not seeds:
        return observations
    first = torch.arange(0, shape.numel(), states, device=observations.device)
    return observations + first.view(*seeds, *[1] * (observations.ndim - len(seeds)))
