"""Exercises 05.fisher_vector_product and 05.conjugate_gradient: solve F s = g without ever writing F down."""

from __future__ import annotations

import torch

from ..check.spec import Exercise, Mistake, close
from ..check.texts import written
from .nb05_surrogate import draw, kl

# ---- 05.fisher_vector_product ------------------------------------------------


def fisher_vector_product(logits, visits, vector, damping):
    """F v + damping * v; F is the Hessian of the mean KL(old || new) at new = old. (S, A), (S,), (S, A) -> (S, A)."""
    old, new = logits.detach(), logits.detach().clone().requires_grad_()
    mean_kl = (visits * kl(old, new)).sum()
    slope = torch.autograd.grad(mean_kl, new, create_graph=True)[0]  # zero at this point, but its own slope is not
    return torch.autograd.grad((slope * vector).sum(), new)[0] + damping * vector


def _fisher_cases():
    one = torch.zeros(1, 2).double(), torch.ones(1).double(), torch.tensor([[1.0, 0.0]]).double(), 0.5
    visits = torch.tensor([0.5, 0.3, 0.2]).double()
    three = draw(20, 3, 4), visits, draw(21, 3, 4), 0.1
    return [one, three, (draw(22, 3, 5), visits, draw(23, 3, 5), 0.0)]


def _is_the_hessian(fn):
    """Without damping it must be the Hessian of the mean KL, times the vector."""
    logits, visits, vector, _ = _fisher_cases()[1]
    hessian = torch.autograd.functional.hessian(lambda new: (visits * kl(logits, new)).sum(), logits)  # (S, A, S, A)
    want = torch.einsum("satb,tb->sa", hessian, vector)
    close(fn(logits, visits, vector, 0.0), want, case=(logits, visits, vector, 0.0))


def _only_damping(logits, visits, vector, damping):
    return damping * vector


def _no_graph(logits, visits, vector, damping):
    old, new = logits.detach(), logits.detach().clone().requires_grad_()
    slope = torch.autograd.grad((visits * kl(old, new)).sum(), new)[0]
    return torch.autograd.grad((slope * vector).sum(), new)[0] + damping * vector


def _no_damping(logits, visits, vector, damping):
    return fisher_vector_product(logits, visits, vector, 0.0)


def _adds_the_number(logits, visits, vector, damping):
    return fisher_vector_product(logits, visits, vector, 0.0) + damping


def _all_squares_alike(logits, visits, vector, damping):
    return fisher_vector_product(logits, torch.ones_like(visits) / len(visits), vector, damping)


def _sum_over_squares(logits, visits, vector, damping):
    return fisher_vector_product(logits, torch.ones_like(visits), vector, damping)


def _outer_product_of_the_mean(logits, visits, vector, damping):
    new = logits.detach().clone().requires_grad_()
    mean = (visits * torch.log_softmax(new, -1).mean(-1)).sum()
    g = torch.autograd.grad(mean, new)[0]
    return g * (g * vector).sum() + damping * vector


def _probabilities_alone(logits, visits, vector, damping):
    return visits[:, None] * torch.softmax(logits, -1) * vector + damping * vector


FISHER = Exercise(
    id="05.fisher_vector_product",
    title="The Fisher matrix times a vector, without the matrix",
    solution=fisher_vector_product,
    cases=_fisher_cases,
    properties=[_is_the_hessian],
    mistakes=[
        Mistake(
            _only_damping,
            "Nothing of F is left, only damping * v. Do both sides of your KL move together (a policy is always 0 away "
            "from itself: detach the old one)? Did you take the first derivative only, which is zero here? Or did the "
            "vector not get into the second one?",
            "dongminlee94/deep_rl issue 5",
        ),
        Mistake(
            _no_graph,
            "Autograd finds nothing to follow. Either your copy of the logits carries no gradient (`requires_grad_()`) "
            "or did not get into what you differentiate, or the first derivative was computed without a record of how: "
            "pass `create_graph=True` to the first `torch.autograd.grad`.",
        ),
        Mistake(_no_damping, "F v is right. `damping * vector` is missing: it makes F invertible."),
        Mistake(_adds_the_number, "You added the number `damping` to every entry. It is `damping * vector`."),
        Mistake(
            _all_squares_alike,
            "All squares count alike in your mean. The mean KL is over the old robot's visits: `visits` are weights.",
        ),
        Mistake(_sum_over_squares, "You summed the KL over the squares. Weigh each square with its `visits`."),
        Mistake(
            _outer_product_of_the_mean,
            "This is one mean gradient times itself. F is the mean of score times score, square by square and action "
            "by action; multiplying the means loses nearly all of it. Differentiate the KL twice.",
        ),
        Mistake(
            _probabilities_alone,
            "The probabilities of a square sum to 1, so raising one lowers the others: the term -p (p · v) is missing. "
            "Two derivatives of the KL give it without any formula.",
        ),
        *written(fisher_vector_product),
    ],
    hints=[
        "Make a copy of the logits that carries a gradient: that is the new policy. The old one stays fixed.",
        "First derivative of the mean KL with `create_graph=True`; multiply it with the vector and sum: one number. "
        "Then differentiate that number.",
        "`slope = grad(mean_kl, new, create_graph=True)[0]`, then `grad((slope * vector).sum(), new)[0]`, plus "
        "`damping * vector`.",
    ],
)


# ---- 05.conjugate_gradient ---------------------------------------------------


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


def _cg_cases():
    small = times(torch.tensor([[2.0, 1.0], [1.0, 3.0]]).double()), torch.tensor([3.0, 4.0]).double(), 2
    once = times(matrix(30, 4)), draw(31, 4), 1
    early = times(matrix(32, 6)), draw(33, 6), 3
    done = times(2 * torch.eye(3).double()), torch.tensor([1.0, 2.0, 4.0]).double(), 3
    return [small, once, early, (times(matrix(34, 6)), draw(35, 6), 6), done]


def _solves(fn):
    """With as many rounds as there are unknowns, A x must be b."""
    A, b = matrix(36, 8), draw(37, 8)
    close(A @ fn(times(A), b.clone(), 8), b, case=(times(A), b, 8), atol=1e-5)


def _run(matvec, b, iterations, beta, *, x=None, sign=-1.0, stop=True):
    """Conjugate gradient with a wrong part. beta(new error, error, first error): how much old direction is kept."""
    x, residual, direction = torch.zeros_like(b) if x is None else x, b.clone(), b.clone()
    first = residual @ residual
    for _ in range(iterations):
        error, product = residual @ residual, matvec(direction)
        if stop and error < 1e-20:
            break
        step = error / (direction @ product)
        x, residual = x + step * direction, residual + sign * step * product
        direction = residual + beta(residual @ residual, error, first) * direction
    return x


def _right(new, error, first):
    return new / error


def _one_tensor(matvec, b, iterations):
    x, residual = torch.zeros_like(b), b.clone()
    direction = residual
    for _ in range(iterations):
        error, product = residual @ residual, matvec(direction)
        if error < 1e-20:
            break
        step = error / (direction @ product)
        x = x + step * direction
        residual -= step * product
        direction = residual + (residual @ residual) / error * direction
    return x


def _keeps_all(matvec, b, iterations):
    return _run(matvec, b, iterations, lambda new, error, first: 1.0)


def _steepest_descent(matvec, b, iterations):
    return _run(matvec, b, iterations, lambda new, error, first: 0.0)


def _residual_grows(matvec, b, iterations):
    return _run(matvec, b, iterations, _right, sign=1.0)


def _starts_at_b(matvec, b, iterations):
    return _run(matvec, b, iterations, _right, x=b.clone())


def _upside_down(matvec, b, iterations):
    return _run(matvec, b, iterations, lambda new, error, first: error / new)


def _stale_error(matvec, b, iterations):
    return _run(matvec, b, iterations, lambda new, error, first: new / first)


def _never_stops(matvec, b, iterations):
    return _run(matvec, b, iterations, _right, stop=False)


CG = Exercise(
    id="05.conjugate_gradient",
    title="Solve A x = b with products only",
    solution=conjugate_gradient,
    cases=_cg_cases,
    properties=[_solves],
    mistakes=[
        Mistake(
            _keeps_all,
            "The factor in front of the old direction is missing (you added the whole of it). It is the new squared "
            "residual divided by the one before.",
        ),
        Mistake(
            _steepest_descent,
            "Your next direction is the residual alone: that is steepest descent. It works, slowly. Add the old "
            "direction times (new squared residual / squared residual before).",
        ),
        Mistake(
            _residual_grows,
            "The residual is b - A x. When x moves by step * direction, it changes by MINUS step * A direction.",
        ),
        Mistake(
            _starts_at_b,
            "You start at x = b with the residual of x = 0. Start at zeros: then the residual b - A x is b.",
        ),
        Mistake(_upside_down, "The factor of the old direction is upside down: new squared residual over the old one."),
        Mistake(
            _stale_error,
            "The factor compares with the very first residual. Compare with the one before: update it every round.",
        ),
        Mistake(
            _one_tensor,
            "Residual and direction are one tensor in the first round, and `-=` changes both: write `p = r.clone()`.",
        ),
        Mistake(
            _never_stops,
            "Right until the residual is zero, then 0 / 0 makes it NaN. Leave the loop when the squared residual is "
            "tiny.",
            "boyu-ai/Hands-on-RL issue 108",
        ),
        *written(conjugate_gradient),
    ],
    hints=[
        "Keep three vectors: x (zeros at first), the residual b - A x, and the direction. The last two start as b.",
        "Each round: one product A direction; step = r·r / (d·A d); move x along the direction; correct the residual; "
        "new direction = residual + (new r·r / old r·r) * direction.",
        "`step = error / (direction @ product)`, `x = x + step * direction`, `residual = residual - step * product`, "
        "`direction = residual + (residual @ residual) / error * direction`",
    ],
)
