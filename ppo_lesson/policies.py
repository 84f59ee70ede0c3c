"""Policies and critics. A policy maps observations to a `torch.distributions.Distribution`, a critic to values.

Tables are enough for the maze: one row of numbers a square; small networks serve control tasks and, for comparison,
the maze. `seeds` adds a leading axis, so that many independent trainings run as one: seed k learns only row k.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Independent, Normal, kl_divergence, register_kl

from .kl import exact
from .normalize import Standardize
from .objectives import entropy
from .validate import INTEGERS, integer, number, require, same_shape, seeds_of


class TabularPolicy(nn.Module):
    """A softmax over actions for each state; all actions start equally likely.

    logits: (*seeds, n_states, n_actions) parameter, float64 unless `dtype` says otherwise.
    policy(observations): ids (*seeds, ...) -> a categorical distribution over actions, batch shape (*seeds, ...).
    """

    def __init__(self, n_states: int = 16, n_actions: int = 4, *, seeds: tuple[int, ...] = (), dtype=torch.float64):
        super().__init__()
        sizes = [integer("a table's size", size, 1) for size in (*seeds, n_states, n_actions)]
        self.logits = nn.Parameter(torch.zeros(sizes, dtype=dtype))

    @property
    def probs(self) -> Tensor:
        """The whole table of probabilities, (*seeds, n_states, n_actions), without gradient."""
        return torch.softmax(self.logits.detach(), -1)

    def forward(self, observations: Tensor) -> "TableCategorical":
        return TableCategorical(self.logits, observations)


class TabularCritic(nn.Module):
    """One value for each state, all zero at first. critic(observations): ids (*seeds, ...) -> values (*seeds, ...)."""

    def __init__(self, n_states: int = 16, *, seeds: tuple[int, ...] = (), dtype=torch.float64):
        super().__init__()
        sizes = [integer("a table's size", size, 1) for size in (*seeds, n_states)]
        self.table = nn.Parameter(torch.zeros(sizes, dtype=dtype))

    def forward(self, observations: Tensor) -> Tensor:
        return self.table.take(_rows(self.table.shape, observations))


class MLPPolicy(nn.Module):
    """A tanh network from observations to action logits; orthogonal initialisation, gain 0.01 at the head.

    inputs: length of an observation, or the number of states. policy(observations): floats (*seeds, ..., inputs), or
    state ids (*seeds, ...). seed: an int, or a sequence of K ints for K independent networks with a leading axis.
    hidden: widths of its layers, or one number. standardize: by observations' running spread (`normalize.Standardize`).
    """

    def __init__(self, inputs: int = 16, actions: int = 4, *, hidden=(64, 64), seed=0, standardize=False):
        super().__init__()
        self.net = MLP([inputs, hidden, actions], head_gain=0.01, seed=seed, standardize=standardize)

    def forward(self, observations: Tensor) -> Categorical:
        if observations.is_floating_point():
            return Categorical(logits=self.net(observations), validate_args=False)
        return TableCategorical(self.net.on_every_state(), observations)


class GaussianPolicy(nn.Module):
    """A policy for actions that are real numbers: a tanh network gives their means, one parameter each the spread.

    policy(observations): floats (*seeds, ..., inputs) -> independent normals, event shape (actions,). log_std: log of
    the standard deviation at first, the same in every state (Schulman et al. 2017, sec. 6.1). Others as in `MLPPolicy`.
    """

    def __init__(self, inputs: int, actions: int, *, hidden=(64, 64), seed=0, log_std=0.0, standardize=False):
        super().__init__()
        self.net = MLP([inputs, hidden, actions], head_gain=0.01, seed=seed, standardize=standardize)
        self.log_std = nn.Parameter(torch.full((*self.net.seeds, actions), number("log_std", log_std)))

    def forward(self, observations: Tensor) -> Independent:
        mean = self.net(observations)
        std = self.log_std.view(*self.net.seeds, *[1] * (mean.ndim - self.log_std.ndim), -1).exp().expand_as(mean)
        return Independent(Normal(mean, std, validate_args=False), 1, validate_args=False)


class MLPCritic(nn.Module):
    """A tanh network from observations to one value; arguments as in `MLPPolicy`, gain 1 at the head."""

    def __init__(self, inputs: int = 16, *, hidden=(64, 64), seed=0, standardize=False):
        super().__init__()
        self.net = MLP([inputs, hidden, 1], head_gain=1.0, seed=seed, standardize=standardize)

    def forward(self, observations: Tensor) -> Tensor:
        if observations.is_floating_point():
            return self.net(observations)[..., 0]
        table = self.net.on_every_state()[..., 0]
        return table.take(_rows(table.shape, observations))


class MLP(nn.Module):
    """Linear layers with tanh between them; with K seeds every weight is (K, in, out), so K networks run as one."""

    def __init__(self, sizes: Sequence[int], *, head_gain: float, seed=0, standardize=False):
        super().__init__()
        self.seeds, seeds = seeds_of(seed)
        parts = (part if isinstance(part, Iterable) else [part] for part in sizes)
        sizes = [integer("a layer's width", x, 1) for part in parts for x in part]
        self.standardize = Standardize(sizes[0], seeds=self.seeds) if standardize else None
        generators = [torch.Generator().manual_seed(s) for s in seeds]
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for i, o in pairwise(sizes):
            gain = head_gain if len(self.weights) == len(sizes) - 2 else 2**0.5
            each = [nn.init.orthogonal_(torch.empty(i, o), gain, generator=g) for g in generators]
            self.weights.append(torch.stack(each) if self.seeds else each[0])
            self.biases.append(torch.zeros(*self.weights[-1].shape[:-2], 1, o))

    def forward(self, x: Tensor) -> Tensor:
        """(*seeds, ..., in) -> (*seeds, ..., out)."""
        shape = x.shape[:-1]
        *hidden, head = zip(self.weights, self.biases)
        inputs = self.weights[0].shape[-2]
        same_shape({"observations": x})
        require(x.shape[-1] == inputs, ValueError, "network", "inputs", inputs, tuple(x.shape))
        require(shape[: len(self.seeds)] == self.seeds, ValueError, "network", "many seeds", *self.seeds, tuple(shape))
        if self.standardize is not None:
            x = self.standardize(x)
        x = x.reshape(*self.seeds, -1, inputs).to(head[0])
        affine = torch.baddbmm if self.seeds else torch.addmm  # b + x @ w
        for w, b in hidden:
            x = affine(b, x, w).tanh_()
        return affine(head[1], x, head[0]).view(*shape, -1)

    def on_every_state(self) -> Tensor:
        """The outputs for all one-hot observations, (*seeds, states, out): asked once for all steps."""
        return self(torch.eye(self.weights[0].shape[-2]).expand(*self.seeds, -1, -1))


class TableCategorical(Categorical):
    """Categorical(logits=table[observations]), with one softmax per row of the table, not per step.

    table: (*seeds, S, A) logits; observations: ids (*seeds, ...). Same numbers as torch's Categorical.
    """

    def __init__(self, table: Tensor, observations: Tensor):
        self.logp = torch.log_softmax(table, -1).reshape(-1, table.shape[-1])  # (rows, A)
        self.rows = _rows(table.shape[:-1], observations)  # (*seeds, ...)
        self._num_events = table.shape[-1]
        Distribution.__init__(self, self.rows.shape, validate_args=False)  # not Categorical's: that is the work saved

    @property
    def logits(self) -> Tensor:
        return self.logp[self.rows]

    @property
    def probs(self) -> Tensor:
        return self.logits.exp()

    _param = logits  # what torch's own methods look at

    def expand(self, batch_shape, _instance=None) -> Categorical:
        return Categorical(logits=self.logits, validate_args=False).expand(batch_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        low, high = (x.item() for x in value.aminmax()) if value.numel() else (0, 0)
        fits = 0 <= low <= high < self._num_events and value.dtype in INTEGERS  # else: another state's number
        require(fits, ValueError, "numbers", "no actions", self._num_events - 1, low, high)
        return self.logp.take(self.rows * self.logp.shape[-1] + value)

    def entropy(self) -> Tensor:
        return entropy(self.logp).take(self.rows)

    def sample(self, sample_shape=()) -> Tensor:
        return Categorical(logits=self.logits).sample(sample_shape)


@register_kl(TableCategorical, TableCategorical)
def _kl_of_tables(p: TableCategorical, q: TableCategorical) -> Tensor:
    """`kl_divergence(p, q)`, computed once for each row of the tables where p and q read the same rows."""
    if p.logp.shape == q.logp.shape and torch.equal(p.rows, q.rows):
        return exact(p.logp, q.logp).take(p.rows)
    return kl_divergence(Categorical(logits=p.logits), Categorical(logits=q.logits))


def _rows(shape: torch.Size, observations: Tensor) -> Tensor:
    """Where each observation's row lies in a table (*seeds, S, ...) written as one long list of rows."""
    *seeds, states = shape
    observations = torch.as_tensor(observations)  # one robot's state may come as a plain int
    good = observations.dtype in INTEGERS and list(observations.shape[: len(seeds)]) == seeds
    axes = f" with leading axes {tuple(seeds)}, one for each seed that the trainer needs too" if seeds else ""
    require(good, ValueError, "numbers", "no ids", axes, observations.dtype, tuple(observations.shape))
    low, high = (x.item() for x in observations.aminmax()) if observations.numel() else (0, 0)
    require(0 <= low <= high < states, ValueError, "numbers", "no states", states - 1, low, high)
    if not seeds:
        return observations.long()  # a uint8 would go round at 256, and index as a mask
    first = torch.arange(0, shape.numel(), states, device=observations.device)
    return observations + first.view(*seeds, *[1] * (observations.ndim - len(seeds)))
