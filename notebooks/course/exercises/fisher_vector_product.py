"""fisher_vector_product: the Fisher matrix times a vector, without the matrix."""

import torch

from ..check import Exercise, close, rows
from .kl import kl


def fisher_vector_product(logits, visits, vector, damping):
    """F v + damping * v; F is the Hessian of the mean KL(old || new) at new = old. (S, A), (S,), (S, A) -> (S, A)."""
    old, new = logits.detach(), logits.detach().clone().requires_grad_()
    mean_kl = (visits * kl(old, new)).sum()
    slope = torch.autograd.grad(mean_kl, new, create_graph=True)[0]  # zero at this point, but its own slope is not
    return torch.autograd.grad((slope * vector).sum(), new)[0] + damping * vector


cases = rows("fisher_vector_product")


def is_the_hessian(fn):
    logits, visits, vector, _ = cases()[1]
    hessian = torch.autograd.functional.hessian(lambda new: (visits * kl(logits, new)).sum(), logits)  # (S, A, S, A)
    want = torch.einsum("satb,tb->sa", hessian, vector)
    close(fn(logits, visits, vector, 0.0), want, case=(logits, visits, vector, 0.0))


EXERCISE = Exercise(solution=fisher_vector_product, cases=cases)
