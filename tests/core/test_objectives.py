"""Objectives: against plain formulas and torch.distributions, and always by their gradients too."""

import math

import numpy as np
import pytest
import torch
from oracles import random_policy, within
from torch.distributions import Categorical

from ppo_lesson.maze import Maze, MazeBatch, exact_policy_gradient, solve
from ppo_lesson.objectives import (
    aggregate,
    clip_fraction,
    clipped_surrogate,
    entropy,
    explained_variance,
    penalized_surrogate,
    policy_gradient,
    surrogate,
    value_loss,
)
from ppo_lesson.policies import TabularPolicy
from ppo_lesson.returns import discounted_returns
from ppo_lesson.rollout import whole_episodes

NAN = float("nan")


def grad(output, *inputs):
    """d sum(output) / d input, for each of the inputs; None where there is no path."""
    found = torch.autograd.grad(output.sum(), inputs, allow_unused=True)
    return found[0] if len(found) == 1 else found


# ---- policy gradient -----------------------------------------------------------------------------------------------


def test_policy_gradient_moves_logp_and_treats_the_advantage_as_a_number():
    logp, A = torch.randn(5, requires_grad=True), torch.randn(5, requires_grad=True)
    by_logp, by_A = grad(policy_gradient(logp, A), logp, A)
    assert torch.equal(by_logp, A) and by_A is None


@pytest.mark.parametrize("gamma", [1.0, 0.9])
def test_sampled_gradients_average_to_the_exact_one_and_a_baseline_only_calms_them(gamma):
    """Each robot is one sample: sum_t gamma^t grad log pi(a_t|s_t) weight_t, with weight G_t or G_t - V(s_t)."""
    maze, policy = Maze(max_steps=2000), TabularPolicy(16)
    probs = torch.tensor(random_policy(2, spread=0.4))
    policy.logits.data = probs.log()
    steps = whole_episodes(MazeBatch(maze, 4000, seed=0), policy)
    assert not steps.truncated.any()
    exact, V = exact_policy_gradient(policy.logits, gamma), solve(probs, gamma).V
    G = discounted_returns(steps.rewards, gamma, ended=steps.ended)
    discount = gamma ** torch.arange(G.shape[1])
    each = policy.logits.detach().expand(4000, -1, -1).clone().requires_grad_()  # one copy of the policy per robot
    logp = torch.log_softmax(each, -1)[torch.arange(4000)[:, None], steps.observations, steps.actions]
    spread = {}
    for name, weight in (("G", G), ("G - V", G - V[steps.observations])):
        objective = aggregate(policy_gradient(logp, weight * discount), steps.mask, "seq-mean-token-sum", dim=-1)
        (samples,) = torch.autograd.grad(objective.sum(), each, retain_graph=True)
        samples = samples[:, :15].flatten(1)  # nothing is chosen at the goal
        assert within(samples, exact[:15].flatten())
        spread[name] = samples.var(0).sum().item()
    assert spread["G - V"] < 0.7 * spread["G"]


# ---- surrogates ----------------------------------------------------------------------------------------------------

CASES = [  # A, ratio, objective, d objective / d ratio  (eps 0.2)
    (1.0, 0.5, 0.5, 1.0),
    (1.0, 1.1, 1.1, 1.0),
    (1.0, 1.21, 1.2, 0.0),
    (-1.0, 0.5, -0.8, 0.0),
    (-1.0, 0.9, -0.9, -1.0),
    (-1.0, 3.5, -3.5, -1.0),
]


@pytest.mark.parametrize(("A", "ratio", "value", "slope"), CASES)
def test_clipped_surrogate_table(A, ratio, value, slope):
    r = torch.tensor([ratio], dtype=torch.float64, requires_grad=True)
    objective = clipped_surrogate(r.log(), torch.zeros(1).double(), torch.tensor([A]).double())
    assert objective.item() == pytest.approx(value)
    assert grad(objective, r).item() == pytest.approx(slope)


def test_at_the_old_policy_all_surrogates_have_the_policy_gradient():
    logp, A = torch.randn(20, dtype=torch.float64, requires_grad=True), torch.randn(20, dtype=torch.float64)
    old, zero = logp.detach(), torch.zeros(20).double()
    expected = grad(policy_gradient(logp, A), logp)
    for objective in (
        surrogate(logp, old, A),
        clipped_surrogate(logp, old, A),
        penalized_surrogate(logp, old, A, zero, beta=3.0),
    ):
        assert torch.allclose(grad(objective, logp), expected, atol=1e-12)


def test_trap_12_dual_clip_acts_on_negative_advantages_only():
    old = torch.zeros(1)
    for A, ratio, value in ((-1.0, 3.1, -3.0), (-1.0, 10.0, -3.0), (-1.0, 2.9, -2.9), (1.0, 10.0, 1.2)):
        objective = clipped_surrogate(torch.tensor([ratio]).log(), old, torch.tensor([A]), dual_clip=3.0)
        assert objective.item() == pytest.approx(value, rel=1e-5)


def test_an_upper_clip_range_of_its_own():
    old, up = torch.zeros(1), torch.tensor([1.0])
    assert clipped_surrogate(torch.tensor([1.5]).log(), old, up, 0.2, eps_high=0.4).item() == pytest.approx(1.4)
    assert clipped_surrogate(torch.tensor([0.5]).log(), old, -up, 0.2, eps_high=0.4).item() == pytest.approx(-0.8)


def test_trap_13_clip_fraction_counts_only_where_the_gradient_is_gone():
    ratio = torch.tensor([r for _, r, _, _ in CASES])
    A = torch.tensor([a for a, _, _, _ in CASES])
    assert clip_fraction(ratio.log(), torch.zeros(6), A).item() == pytest.approx(2 / 6)
    assert clip_fraction(torch.tensor([1.5]).log(), torch.zeros(1), torch.tensor([-1.0])).item() == 0
    mask = torch.tensor([False, False, True, False, True, True])
    assert clip_fraction(ratio.log(), torch.zeros(6), A, mask=mask).item() == pytest.approx(1 / 3)


# ---- value loss ----------------------------------------------------------------------------------------------------


def test_value_loss_is_half_the_squared_error_and_leaves_the_target_alone():
    V, R = torch.tensor([1.0, 3.0], requires_grad=True), torch.tensor([2.0, 0.0], requires_grad=True)
    loss = value_loss(V, R)
    by_V, by_R = grad(loss, V, R)
    assert loss.tolist() == [0.5, 4.5] and by_V.tolist() == [-1.0, 3.0] and by_R is None


@pytest.mark.parametrize(
    ("V", "R", "value", "slope"),
    [  # old value 0, clip 0.2
        (0.1, 1.0, 0.5 * 0.9**2, -0.9),  # inside: the plain squared error
        (0.5, 1.0, 0.5 * 0.8**2, 0.0),  # moved 0.5 towards its target: worth only 0.2, and no gradient
        (-0.5, 1.0, 0.5 * 1.5**2, -1.5),  # moved away: the whole error, the whole gradient
        (0.5, 0.1, 0.5 * 0.4**2, 0.4),  # shot past its target: the whole gradient
        (-0.5, -1.0, 0.5 * 0.8**2, 0.0),
    ],
)
def test_clipped_value_loss_is_the_larger_of_the_two(V, R, value, slope):
    V = torch.tensor([V], dtype=torch.float64, requires_grad=True)
    loss = value_loss(V, torch.tensor([R]).double(), values_old=torch.zeros(1).double(), clip=0.2)
    assert loss.item() == pytest.approx(value)
    assert grad(loss, V).item() == pytest.approx(slope)


# ---- entropy -------------------------------------------------------------------------------------------------------


def test_entropy_agrees_with_torch_in_value_and_gradient():
    logits = (3 * torch.randn(4, 5, 6, dtype=torch.float64)).requires_grad_()
    ours, theirs = entropy(logits), Categorical(logits=logits).entropy()
    assert torch.allclose(ours, theirs) and ours.shape == (4, 5)
    assert torch.allclose(grad(ours, logits), grad(theirs, logits))


def test_entropy_of_an_impossible_action_is_nothing_and_its_gradient_is_finite():
    logits = torch.tensor([[0.0, 0.0, -math.inf], [5.0, -math.inf, -math.inf]], requires_grad=True)
    H = entropy(logits)
    assert H.tolist() == pytest.approx([math.log(2), 0.0])
    assert torch.equal(grad(H, logits), torch.zeros(2, 3))
    assert entropy(torch.tensor([800.0, 0.0])).item() == 0  # a probability too small for the format


# ---- aggregate -----------------------------------------------------------------------------------------------------

RAGGED = torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]], dtype=torch.bool)


def plain_aggregate(x, mask, how):
    rows = [[v for v, m in zip(xs, ms) if m] for xs, ms in zip(x.tolist(), mask.tolist())]
    rows = [row for row in rows if row]  # a sequence without a real step is no sequence
    if how == "token-mean":
        return np.mean([v for row in rows for v in row])
    return np.mean([(np.mean if how == "seq-mean-token-mean" else np.sum)(row) for row in rows])


@pytest.mark.parametrize("how", ["token-mean", "seq-mean-token-mean", "seq-mean-token-sum"])
def test_aggregate_averages_ragged_rows_as_a_plain_loop_does(how):
    x = torch.randn(4, 4, dtype=torch.float64)
    assert aggregate(x, RAGGED, how).item() == pytest.approx(plain_aggregate(x, RAGGED, how))
    whole = torch.ones(4, 4, dtype=torch.bool)
    assert aggregate(x, None, how).item() == pytest.approx(plain_aggregate(x, whole, how))


@pytest.mark.parametrize("how", ["token-mean", "seq-mean-token-mean", "seq-mean-token-sum"])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_trap_8_micro_batches_add_up_to_the_gradient_of_the_whole_batch(how, size):
    x = torch.randn(4, 4, dtype=torch.float64, requires_grad=True)
    whole = grad(aggregate(x.square(), RAGGED, how), x)
    denominator = RAGGED.sum().item() if how == "token-mean" else RAGGED.any(1).sum().item()
    parts = [aggregate(a.square(), m, how, denominator=denominator) for a, m in zip(x.split(size), RAGGED.split(size))]
    assert torch.allclose(grad(torch.stack(parts), x), whole, atol=1e-12)
    if how == "token-mean":  # averaging the averages is another number: that is the trap
        x4, m4 = x[:2].detach(), RAGGED[:2]
        naive = torch.stack([aggregate(a, m, how) for a, m in zip(x4, m4)]).mean()
        assert not torch.isclose(naive, aggregate(x4, m4, how))


@pytest.mark.parametrize("how", ["token-mean", "seq-mean-token-mean", "seq-mean-token-sum"])
@pytest.mark.parametrize("junk", [NAN, math.inf])
def test_trap_22_junk_outside_the_mask_reaches_neither_value_nor_gradient(how, junk):
    x = torch.randn(4, 4)
    clean, dirty = x.clone().requires_grad_(), torch.where(RAGGED, x, junk).requires_grad_()
    a, b = aggregate(clean, RAGGED, how), aggregate(dirty, RAGGED, how)
    assert torch.equal(a, b)
    assert torch.equal(grad(a, clean), grad(b, dirty)) and not grad(aggregate(dirty, RAGGED, how), dirty)[~RAGGED].any()


def test_trap_19_padding_changes_no_average():
    x, mask = torch.randn(3, 4), RAGGED[:3]
    padded, longer = torch.nn.functional.pad(x, (0, 5), value=99.0), torch.nn.functional.pad(mask, (0, 5))
    for how in ("token-mean", "seq-mean-token-mean", "seq-mean-token-sum"):
        assert torch.isclose(aggregate(x, mask, how), aggregate(padded, longer, how))
    assert torch.isclose(explained_variance(x, 2 * x, mask), explained_variance(padded, 2 * padded, longer))


@pytest.mark.parametrize("how", ["token-mean", "seq-mean-token-mean", "seq-mean-token-sum"])
def test_aggregate_along_axes_keeps_seeds_apart(how):
    x, mask = torch.randn(3, 4, 5), torch.rand(3, 4, 5) < 0.5
    mask[0, 0] = False
    together = aggregate(x, mask, how, dim=(-2, -1))
    assert together.shape == (3,)
    for k in range(3):
        assert torch.isclose(together[k], aggregate(x[k], mask[k], how))


# ---- explained variance --------------------------------------------------------------------------------------------


def test_explained_variance_is_1_for_a_perfect_critic_0_for_a_constant_and_negative_for_a_wrong_one():
    R = torch.randn(4, 5, dtype=torch.float64)
    assert explained_variance(R, R).item() == 1
    assert explained_variance(R + 7, R).item() == pytest.approx(1), "a constant error hides nothing of the variation"
    assert explained_variance(torch.full_like(R, 3), R).item() == pytest.approx(0)
    assert explained_variance(-R, R).item() == pytest.approx(-3)
    V = torch.randn_like(R)
    assert explained_variance(V, R).item() == pytest.approx(1 - np.var((R - V).numpy()) / np.var(R.numpy()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_explained_variance_of_returns_that_do_not_vary_is_nan(dtype):
    for n in (1, 3, 10, 100):
        assert explained_variance(torch.randn(n, dtype=dtype), torch.full((n,), 0.1, dtype=dtype)).isnan()


def test_explained_variance_by_seed_and_with_a_mask():
    V, R = torch.randn(3, 4, 5), torch.randn(3, 4, 5)
    mask = torch.rand(3, 4, 5) < 0.6
    together = explained_variance(torch.where(mask, V, NAN), torch.where(mask, R, NAN), mask, dim=(-2, -1))
    for k in range(3):
        assert torch.isclose(together[k], explained_variance(V[k][mask[k]], R[k][mask[k]]), atol=1e-6)
