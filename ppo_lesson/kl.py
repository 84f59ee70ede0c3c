"""How far apart are two policies? The Kullback-Leibler divergence, exact."""

from __future__ import annotations

import torch
from torch import Tensor

from . import validate


def exact(logits_p: Tensor, logits_q: Tensor) -> Tensor:
    """KL(p || q) = sum_a p(a) log(p(a) / q(a)) of two softmax distributions, in nats. (..., A), (..., A) -> (...).

    Never negative, zero only for equal distributions, and not symmetric. An action that p never takes counts nothing;
    one that p takes and q never takes makes it infinite. Differentiable in both.

    >>> exact(torch.tensor([0.5, 0.5]).log(), torch.tensor([0.9, 0.1]).log())
    tensor(0.5108)
    """
    validate.same_shape(logits_p=logits_p, logits_q=logits_q)
    logp, logq = torch.log_softmax(logits_p, -1), torch.log_softmax(logits_q, -1)
    p = logp.exp()
    return (p * (logp - logq).masked_fill(p == 0, 0.0)).sum(-1)
