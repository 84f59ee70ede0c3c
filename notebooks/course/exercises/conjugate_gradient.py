"""conjugate_gradient: solve A x = b with products only."""

import torch

from ..check import Exercise, close, require
from .surrogate import draw


def conjugate_gradient(matvec, b, iterations):
    """x with matvec(x) = b, from x = 0 on, in at most so many rounds. matvec: v -> A v; (P,) -> (P,)."""
    x, residual, direction = torch.zeros_like(b), b.clone(), b.clone()
    for _ in range(iterations):
        error, product = residual @ residual, matvec(direction)
        if error < 1e-20:
            break
        step = error / (direction @ product)
        x, residual = x + step * direction, residual - step * product
        direction = residual + (residual @ residual) / error * direction
    return x


def matrix(seed, n):
    """A symmetric matrix with eigenvalues between 0.1 and a few."""
    root = draw(seed, n, n)
    return root @ root.T / n + 0.1 * torch.eye(n).double()


def times(A):
    """v -> A v, all that conjugate gradient may know of A."""

    def matvec(v):
        return A @ v

    return matvec


def cases():
    small = times(torch.tensor([[2.0, 1.0], [1.0, 3.0]]).double()), torch.tensor([3.0, 4.0]).double(), 2
    once = times(matrix(30, 4)), draw(31, 4), 1
    early = times(matrix(32, 6)), draw(33, 6), 3
    done = times(2 * torch.eye(3).double()), torch.tensor([1.0, 2.0, 4.0]).double(), 3
    tiny = times(matrix(38, 4)), 1e-4 * draw(39, 4), 4
    return [small, once, early, (times(matrix(34, 6)), draw(35, 6), 6), done, tiny]


def solves(fn):
    A, b = matrix(36, 8), draw(37, 8)
    close(A @ fn(times(A), b.clone(), 8), b, case=(times(A), b, 8), atol=1e-5)


def one_product_a_round(fn):
    A, b, calls = matrix(36, 8), draw(37, 8), []

    def counted(v):
        calls.append(v)
        return A @ v

    fn(counted, b.clone(), 5)
    require(len(calls) <= 6, f"In 5 rounds yours made {len(calls)}.", case=(times(A), b, 5))


EXERCISE = Exercise(solution=conjugate_gradient, cases=cases)
