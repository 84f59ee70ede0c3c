"""What holds where pi is no longer the policy that chose the actions: by enumeration, at pi_old and away from it."""

import pytest
import torch

from ppo_lesson.kl import estimate, exact
from ppo_lesson.language.advantages import group_advantages, rloo_advantages
from ppo_lesson.maze import Maze, exact_policy_gradient, solve
from ppo_lesson.objectives import cispo, clipped_surrogate, dppo, entropy, policy_gradient, surrogate

ACTIONS = 6
ROUNDING = 100 * ACTIONS * torch.finfo(torch.float64).eps  # sums of six terms of about 1, some ten operations each
FAR = [0.0, 0.1, 0.5]
SEEDS = range(4)


def numbers(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def apart(seed, distance):
    """logits of pi, with gradient; log-probabilities of pi, of pi_old `distance` away, and of a reference. (A,) each"""
    logits = numbers(seed, ACTIONS).requires_grad_()
    moved = logits.detach() + distance * numbers(seed + 100, ACTIONS)
    old, reference = (torch.log_softmax(x, -1) for x in (moved, numbers(seed + 200, ACTIONS)))
    return logits, torch.log_softmax(logits, -1), old, reference


def gradient(x, of):
    return torch.autograd.grad(x, of, retain_graph=True)[0]


@pytest.mark.parametrize("distance", FAR)
@pytest.mark.parametrize("seed", SEEDS)
def test_of_one_state_the_surrogate_is_right_everywhere_and_log_pi_times_a_on_policy_alone(seed, distance):
    logits, logp, old, _ = apart(seed, distance)
    advantages = numbers(seed + 300, ACTIONS)
    right = gradient((logp.exp() * advantages).sum(), logits)
    listed = (old.exp() * surrogate(logp, old, advantages)).sum()
    assert (gradient(listed, logits) - right).abs().max() < ROUNDING
    plain = gradient((old.exp() * policy_gradient(logp, advantages)).sum(), logits)
    assert ((plain - right).abs().max() < ROUNDING) == (distance == 0)


@pytest.mark.parametrize("distance", FAR)
@pytest.mark.parametrize("seed", SEEDS)
def test_in_the_maze_the_surrogate_has_the_gradient_of_j_at_the_old_policy_alone(seed, distance):
    """States and advantages stay those of the old policy, which no ratio of actions mends."""
    gamma, old = 0.9, numbers(seed, 16, 4) / 2
    logits = (old + distance * numbers(seed + 1, 16, 4)).requires_grad_()
    known = solve(torch.softmax(old, -1), gamma)
    logp, logp_old = (torch.log_softmax(x, -1) for x in (logits, old))
    each = surrogate(logp, logp_old.expand_as(logp), known.A)
    got = gradient((known.visitation[:, None] * logp_old.exp() * each).sum(), logits)
    right = exact_policy_gradient(logits.detach(), gamma, maze=Maze())
    error = ((got - right).norm() / right.norm()).item()
    assert error < 1e-9 if distance == 0 else error > 0.01, error  # linear solves, of a condition below 1e5


@pytest.mark.parametrize("distance", FAR)
@pytest.mark.parametrize("seed", SEEDS)
def test_minus_log_pi_of_old_samples_is_the_old_entropy_and_the_kl(seed, distance):
    """The column `entropy` of rlhf without entropy_coef: pi's own entropy in the first step of a rollout alone."""
    logits, logp, old, _ = apart(seed, distance)
    column = (old.exp() * -logp).sum().item()
    kl = (old.exp() * estimate(old, logp, "k3")).sum().item()  # the column approx_kl
    assert abs(kl - exact(old, logp).item()) < ROUNDING
    assert abs(column - entropy(old).item() - kl) < ROUNDING
    assert (abs(column - entropy(logits).item()) < ROUNDING) == (distance == 0)


@pytest.mark.parametrize("distance", FAR)
@pytest.mark.parametrize("seed", SEEDS)
def test_k1_in_the_reward_is_exact_in_the_first_step_alone(seed, distance):
    """It was paid for pi_old's choices, and a ratio in front does not make it that of pi; a new one would be."""
    logits, logp, old, reference = apart(seed, distance)
    right = gradient(exact(logits, reference), logits)

    def pulled(paid):
        return gradient((old.exp() * surrogate(logp, old, paid.detach())).sum(), logits)

    assert (pulled(estimate(logp, reference, "k1")) - right).abs().max() < ROUNDING
    off = (pulled(estimate(old, reference, "k1")) - right).abs().max()
    assert (off < ROUNDING) == (distance == 0)


@pytest.mark.parametrize("eps_high", [None, 0.28, 1.0])
@pytest.mark.parametrize("distance", [0.0, 0.5, 3.0])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_clipped_objective_of_whitened_weights_stays_below_its_ceiling_wherever_pi_is(seed, distance, eps_high):
    """The symptom "objective above its ceiling": weights of mean 0 and spread 1."""
    old = numbers(seed, 400)
    weights = numbers(seed + 1, 400)
    weights = (weights - weights.mean()) / weights.std()
    objective = clipped_surrogate(old + distance * numbers(seed + 2, 400), old, weights, 0.2, eps_high=eps_high).mean()
    assert objective <= (0.2 + (eps_high or 0.2)) / 2 + ROUNDING


OBJECTIVES = {
    "plain": surrogate,
    "clip": clipped_surrogate,
    "cispo": lambda *x: cispo(*x, eps_high=0.3),
    "dppo-tv": dppo,
    "dppo-kl": lambda *x: dppo(*x, 0.05, divergence="kl"),
}


@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)
@pytest.mark.parametrize("distance", FAR)
def test_dr_grpo_and_rloo_differ_by_a_constant_off_policy_too(objective, distance):
    """As the family's table says: (n - 1) / n of the gradient. No limit of an objective depends on the size of A."""
    n = 4
    scores, groups = numbers(0, 2 * n), torch.arange(2).repeat_interleave(n)
    logp = (numbers(1, 2 * n) - 3).requires_grad_()
    old = logp.detach() + distance * numbers(2, 2 * n)
    both = group_advantages(scores, groups, scale=False), rloo_advantages(scores, groups)
    shorter, whole = (gradient(objective(logp, old, A).sum(), logp) for A in both)
    assert (shorter - (n - 1) / n * whole).abs().max() < ROUNDING and whole.abs().max() > 0.1
