"""How far apart are two policies? Exact KL divergence, its sampled estimates, and the three ways to choose beta.

Two different leashes use it: PPO-Penalty holds the new policy near the one that collected the data (`PaperKL`), RLHF
holds the language model near the one it started from (`ZieglerKL`). Their rules differ, and so do their arguments.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from . import validate


def exact(logits_p: Tensor, logits_q: Tensor) -> Tensor:
    """KL(p || q) = sum_a p(a) log(p(a) / q(a)) of two softmax distributions, in nats. (..., A), (..., A) -> (...).

    Below 0 by rounding alone (1e-7 in float32), 0 only for equal distributions, not symmetric. An action that p never
    takes counts nothing; one that p takes and q never takes makes it infinite. Differentiable in both.

    >>> exact(torch.tensor([0.5, 0.5]).log(), torch.tensor([0.9, 0.1]).log())
    tensor(0.5108)
    """
    validate.same_shape({"logits_p": logits_p, "logits_q": logits_q})
    logp, logq = validate.log_softmax("logits_p", logits_p), validate.log_softmax("logits_q", logits_q)
    p = logp.exp()
    return (p * (logp - logq).masked_fill(p == 0, 0.0)).sum(-1).to(torch.result_type(logits_p, logits_q))


def estimate(logp: Tensor, logp_ref: Tensor, kind: str) -> Tensor:
    """KL(pi || pi_ref) at actions sampled from pi, per element (Schulman 2020, "Approximating KL divergence").

    With d = logp - logp_ref, and while the actions are those of pi itself:
        "k1"  d                 unbiased, may be negative. As a reward: right gradient. As a loss: none at all.
        "k2"  d^2 / 2           biased value. As a loss: exactly the gradient of KL(pi || pi_ref).
        "k3"  exp(-d) - 1 + d   unbiased, never negative: for logs and stopping rules. As a loss: the gradient of the
                                other direction, KL(pi_ref || pi).
    From the second step on one rollout they are those of pi_old, and none of this holds: see `estimate_off_policy`.

    >>> estimate(torch.tensor([0.5]).log(), torch.tensor([0.25]).log(), "k3")
    tensor([0.1931])
    """
    validate.same_shape({"logp": logp, "logp_ref": logp_ref}, reals=True)
    d = logp - logp_ref
    validate.all_finite(d, {"logp": logp, "logp_ref": logp_ref})
    if kind == "k1":
        return d
    if kind == "k2":
        return (validate.at_least_float32(d).square() / 2).to(d)
    validate.require(kind == "k3", ValueError, "numbers", "kind", kind)
    return torch.expm1(validate.limited(-d, low=-math.inf)) + d


def estimate_off_policy(logp: Tensor, logp_old: Tensor, logp_ref: Tensor, kind: str) -> Tensor:
    """KL(pi || pi_ref) at actions sampled from pi_old, per element, for a loss: its gradient in logp is right for all.

    ratio * k with ratio = pi / pi_old, limited as in `objectives.surrogate`. For k1 and k3 the ratio is live: value and
    gradient of the mean are those of the KL, wherever pi has moved (DeepSeek-V3.2, sec. 3.1, for k3). For k2 it is a
    number, for k2 has the right gradient and a biased value already. Of tokens: given their prefixes, and those are
    still pi_old's, as in every ratio of PPO. No gradient flows into logp_old and logp_ref.

    >>> logp = torch.tensor([0.5]).log()
    >>> estimate_off_policy(logp, torch.tensor([0.25]).log(), logp, "k2"), estimate(logp, logp, "k2")
    (tensor([0.]), tensor([0.]))
    """
    validate.same_shape({"logp": logp, "logp_old": logp_old, "logp_ref": logp_ref}, reals=True)
    validate.finite("logp_old", logp_old)
    ratio = validate.limited(logp - logp_old.detach()).exp()
    return (ratio.detach() if kind == "k2" else ratio) * estimate(logp, logp_ref.detach(), kind)


@dataclass
class FixedKL:
    """A beta that never changes."""

    beta: float

    def __post_init__(self):
        self.beta = validate.not_negative("beta", self.beta)


@dataclass
class PaperKL:
    """The adaptive beta of PPO-Penalty (Schulman et al. 2017, sec. 4): about the *old* policy, after every update.

    beta is halved when the KL fell below target / 1.5, doubled when it rose above 1.5 * target, else kept. One number,
    or a tensor with one beta for each seed.

    >>> rule = PaperKL(beta=1.0, target=0.01)
    >>> [rule.update(kl_from_old=kl) for kl in (0.001, 0.01, 0.02)]
    [0.5, 0.5, 1.0]
    """

    beta: float | Tensor
    target: float

    def __post_init__(self):
        self.beta = validate.not_negative("beta", self.beta, zero=False)  # doubling 0 would leave it 0
        self.target = validate.not_negative("target", self.target, zero=False)

    def update(self, kl_from_old: float | Tensor) -> float | Tensor:
        """kl_from_old: mean KL(pi_old || pi) of the update just made. Returns the new beta."""
        many = isinstance(kl_from_old, Tensor) and kl_from_old.ndim and kl_from_old.is_floating_point()
        (validate.finite if many else validate.number)("kl_from_old", kl_from_old)
        validate.not_negative("beta", self.beta, shape=kl_from_old.shape if many else None)
        low, high = kl_from_old < self.target / 1.5, kl_from_old > 1.5 * self.target
        if many:
            factor = torch.where(low & (self.beta > 1e-30), 0.5, torch.where(high, 2.0, 1.0)).to(kl_from_old)
        else:
            factor = 0.5 if low and torch.as_tensor(self.beta).min() > 1e-30 else 2.0 if high else 1.0
        self.beta = self.beta * factor  # never down to 0, which doubling would leave 0
        return self.beta


@dataclass
class ZieglerKL:
    """The adaptive beta of RLHF (Ziegler et al. 2019, sec. 2.2): about the *reference* policy, per sequence.

    beta changes in proportion to the error: beta *= 1 + clip(kl / target - 1, -0.2, 0.2) * n / horizon. The paper has
    the constant 0.1 in the place of n / horizon, which stands in the authors' code and in the libraries after it.

    >>> rule = ZieglerKL(beta=0.15, target=6.0, horizon=10_000)
    >>> round(rule.update(kl_to_reference=12.0, n=64), 6)
    0.150192
    """

    beta: float
    target: float
    horizon: int = 10_000

    def __post_init__(self):
        self.beta = validate.not_negative("beta", validate.as_float(self.beta))
        self.target = validate.not_negative("target", validate.as_float(self.target), zero=False)
        self.horizon = validate.integer("horizon", self.horizon, 1)

    def update(self, kl_to_reference: float, n: int) -> float:
        """kl_to_reference: mean over sequences of the summed KL(pi || pi_ref), nats. n: episodes seen. Returns beta."""
        error = min(max(validate.number("kl_to_reference", kl_to_reference) / self.target - 1, -0.2), 0.2)
        self.beta *= 1 + error * validate.integer("n", n, 1, 5 * self.horizon - 1) / self.horizon  # never below 0
        return self.beta
