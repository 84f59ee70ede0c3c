"""Returns, advantages and whitening: against plain loops, known numbers, identities, and junk in masked slots."""

import itertools

import numpy as np
import pytest
import torch
from oracles import random_policy, within

from ppo_lesson.maze import Maze, MazeBatch, solve
from ppo_lesson.policies import TabularPolicy
from ppo_lesson.returns import discounted_returns, gae, whiten
from ppo_lesson.rollout import fixed_steps

NAN = float("nan")
B, T = 6, 9


def random_batch(dtype=torch.float64):
    """rewards, values, next_values and the three flags, with every combination of flags somewhere."""
    r, v, nv = (torch.randn(B, T, dtype=dtype) for _ in range(3))
    terminated = torch.rand(B, T) < 0.2
    truncated = (torch.rand(B, T) < 0.2) & ~terminated
    mask = torch.rand(B, T) < 0.7
    return r, v, nv, terminated, truncated, mask


def plain_gae(r, v, nv, terminated, truncated, mask, gamma, lam):
    """A_t = sum_k (gamma lam)^k delta_{t+k}, as a double sum: k runs on to a cut, a masked step or the end of row."""
    A = np.zeros(r.shape)
    for b, t in itertools.product(*map(range, r.shape)):
        weight = 1.0
        for k in range(t, r.shape[1]):
            if not mask[b, k]:
                break
            future = 0.0 if terminated[b, k] else gamma * nv[b, k]
            A[b, t] += weight * (r[b, k] + future - v[b, k])
            weight *= gamma * lam
            if terminated[b, k] or truncated[b, k]:
                break
    return A


# ---- discounted returns --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gamma", [0.0, 0.9, 1.0])
def test_returns_are_the_sums_of_a_plain_loop(gamma):
    r, _, _, ended, _, _ = random_batch()
    for flags in (None, ended):
        expected = np.zeros((B, T))
        for b, t in itertools.product(range(B), range(T)):
            for k in range(t, T):
                expected[b, t] += gamma ** (k - t) * r[b, k].item()
                if flags is not None and flags[b, k]:
                    break
        assert np.allclose(discounted_returns(r, gamma, ended=flags), expected, atol=1e-12)


def test_a_return_is_the_reward_plus_gamma_times_the_next_return():
    r = torch.randn(3, 5, dtype=torch.float64)
    G = discounted_returns(r, 0.7)
    assert torch.allclose(G[:, :-1], r[:, :-1] + 0.7 * G[:, 1:]) and torch.equal(G[:, -1], r[:, -1])


def test_returns_take_lists_whole_numbers_and_any_leading_axes():
    assert discounted_returns([0, 0, 4], 0.5).tolist() == [1.0, 2.0, 4.0]
    r = torch.randn(2, 3, 4)
    assert torch.equal(discounted_returns(r, 0.9)[1, 2], discounted_returns(r[1, 2], 0.9))
    assert discounted_returns(r, 0.9).dtype == torch.float32


def test_returns_leave_their_input_alone_and_carry_no_gradient():
    r = torch.ones(4, requires_grad=True)
    assert not discounted_returns(r, 0.9).requires_grad
    assert r.tolist() == [1, 1, 1, 1]


# ---- GAE -----------------------------------------------------------------------------------------------------------


def test_gae_of_a_published_example():
    r, v = torch.tensor([0, 0, 1.0]).double(), torch.tensor([0.5, 0.6, 0.7]).double()
    nv, end = torch.tensor([0.6, 0.7, 55.0]).double(), torch.tensor([False, False, True])
    A, R = gae(r, v, nv, terminated=end, gamma=0.99, lam=0.95)
    assert A.tolist() == pytest.approx([0.446829, 0.37515, 0.3], abs=1e-6)
    assert R.tolist() == pytest.approx([0.946829, 0.97515, 1.0], abs=1e-6)


@pytest.mark.parametrize(("gamma", "lam"), list(itertools.product([0.0, 0.9, 1.0], [0.0, 0.95, 1.0])))
def test_gae_is_the_double_sum_over_td_errors(gamma, lam):
    r, v, nv, terminated, truncated, mask = random_batch()
    A, R = gae(r, v, nv, terminated=terminated, truncated=truncated, mask=mask, gamma=gamma, lam=lam)
    expected = plain_gae(*(x.numpy() for x in (r, v, nv, terminated, truncated, mask)), gamma, lam)
    assert np.allclose(A, expected, atol=1e-12)
    assert np.allclose(R, np.where(mask, expected + v.numpy(), 0), atol=1e-12)


def test_gae_with_lambda_0_is_the_td_error():
    r, v, nv, terminated, truncated, _ = random_batch()
    A, _ = gae(r, v, nv, terminated=terminated, truncated=truncated, gamma=0.9, lam=0.0)
    assert torch.allclose(A, r + 0.9 * nv * (~terminated) - v)


def test_gae_with_lambda_1_is_the_return_minus_the_value():
    r, v, _, terminated, _, _ = random_batch()
    terminated[:, -1] = True
    nv = torch.cat([v[:, 1:], v[:, :1]], 1)  # the next value is the value of the next step
    A, R = gae(r, v, nv, terminated=terminated, gamma=0.9, lam=1.0)
    G = discounted_returns(r, 0.9, ended=terminated)
    assert torch.allclose(A, G - v) and torch.allclose(R, G)


@pytest.mark.parametrize("lam", [0.0, 0.95])
def test_gae_with_the_exact_values_has_the_true_advantage_as_its_mean(lam):
    maze, policy = Maze(max_steps=10_000), TabularPolicy()
    probs = torch.tensor(random_policy(0, spread=0.5))
    policy.logits.data = probs.log()
    exact = solve(probs, 0.9)
    steps = fixed_steps(MazeBatch(maze, 3000, seed=0), policy, 40, critic=lambda states: exact.V[states])
    A, _ = gae(
        steps.rewards,
        steps.values,
        steps.next_values,
        terminated=steps.terminated,
        truncated=steps.truncated,
        gamma=0.9,
        lam=lam,
    )
    for s, a in ((0, 1), (1, 3), (4, 0)):
        first = (steps.observations == s) & (steps.actions == a)
        first &= first.cumsum(1) == 1  # one sample from each robot, so that samples are independent
        if lam:
            assert within(A[first], exact.A[s, a])
        else:  # no slip: the TD error with the exact values is the advantage itself
            assert torch.allclose(A[first], exact.A[s, a].expand(int(first.sum())), atol=1e-9)


def test_traces_stop_before_a_hole_in_the_mask():
    r, v = torch.tensor([1.0, 9.0, 2.0, 3.0]), torch.zeros(4)
    mask, end = torch.tensor([True, False, True, True]), torch.tensor([False, False, False, True])
    A, _ = gae(r, v, v, terminated=end, mask=mask, gamma=1.0, lam=1.0)
    assert A.tolist() == [1.0, 0.0, 5.0, 3.0]


@pytest.mark.parametrize("junk", [NAN, float("inf"), 1e6])
def test_trap_7_what_stands_outside_the_mask_never_gets_in(junk):
    r, v, nv, terminated, truncated, mask = random_batch()
    settings = {"mask": mask, "gamma": 0.99, "lam": 0.95}
    clean = gae(r, v, nv, terminated=terminated, truncated=truncated, **settings)
    dirty = (torch.where(mask, x, junk) for x in (r, v, nv))
    flags = (torch.where(mask, x, True) for x in (terminated, truncated))
    for a, b in zip(clean, gae(*dirty, **dict(zip(("terminated", "truncated"), flags)), **settings)):
        assert torch.equal(a, b) and not a[~mask].any()


def test_the_next_value_after_a_terminated_step_may_be_anything():
    r, v = torch.ones(1, 2), torch.zeros(1, 2)
    end = torch.tensor([[True, True]])
    A, R = gae(r, v, torch.full((1, 2), NAN), terminated=end, gamma=0.9, lam=0.9)
    assert A.tolist() == R.tolist() == [[1.0, 1.0]]


def test_trap_14_a_loop_cut_by_the_clock_is_worth_10_not_3_571():
    """One state, reward 1 for ever, cut after 5 steps, gamma 0.9: the value is 1 / (1 - 0.9)."""
    r, none = torch.ones(1, 5).double(), torch.zeros(1, 5, dtype=torch.bool)
    clock = torch.tensor([[False, False, False, False, True]])

    def learned(lam, terminated, truncated):
        V = 0.0
        for _ in range(300):
            values = torch.full((1, 5), V, dtype=torch.float64)
            _, R = gae(r, values, values, terminated=terminated, truncated=truncated, gamma=0.9, lam=lam)
            V += 0.5 * (R.mean().item() - V)
        return V

    for lam in (0.0, 0.95, 1.0):
        assert learned(lam, none, clock) == pytest.approx(10, abs=1e-3)
    assert learned(0.0, clock, none) == pytest.approx(3.571, abs=1e-3)  # truncation mistaken for termination
    assert learned(1.0, clock, none) == pytest.approx(2.629, abs=1e-3)


def test_trap_15_the_value_after_a_cut_is_that_of_the_square_of_arrival():
    maze, policy = Maze(max_steps=2), TabularPolicy()
    policy.logits.data[:, 3] = 50.0  # always right: 0, 1, 2, cut
    worth = torch.arange(16).double()
    steps = fixed_steps(MazeBatch(maze, 1), policy, 4, critic=lambda states: worth[states])
    assert steps.values.tolist() == [[0, 1, 0, 1]]
    assert steps.next_values.tolist() == [[1, 2, 1, 2]]
    A, _ = gae(
        steps.rewards,
        steps.values,
        steps.next_values,
        terminated=steps.terminated,
        truncated=steps.truncated,
        gamma=0.5,
        lam=1.0,
    )
    last = -0.1 + 0.5 * 2 - 1
    first = -0.1 + 0.5 * 1 - 0 + 0.5 * last
    assert A[0].tolist() == pytest.approx([first, last] * 2)


def test_no_gradient_flows_through_advantages_and_targets():
    r, v, nv = (torch.randn(2, 3, requires_grad=True) for _ in range(3))
    A, R = gae(r, v, nv, terminated=torch.zeros(2, 3, dtype=torch.bool), gamma=0.9, lam=0.9)
    assert not A.requires_grad and not R.requires_grad


def test_gae_mixes_single_and_double_precision():
    r, v, nv, terminated, _, _ = random_batch(torch.float32)
    single, _ = gae(r, v, nv, terminated=terminated, gamma=0.9, lam=0.9)
    mixed, _ = gae(r.double(), v, nv, terminated=terminated, gamma=0.9, lam=0.9)
    assert single.dtype == torch.float32 and mixed.dtype == torch.float64
    assert torch.allclose(single.double(), mixed, atol=1e-5)


# ---- whitening -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spread", [2.0, 1e-5])
def test_whitened_numbers_follow_the_formula(spread):
    x = np.random.default_rng(0).normal(3, spread, size=20)
    expected = (x - x.mean()) / np.sqrt(x.var(ddof=1) + 1e-8)
    assert np.allclose(whiten(torch.tensor(x)), expected, atol=1e-12)
    assert np.allclose(whiten(torch.tensor(x), shift_mean=False), expected + x.mean() / np.sqrt(x.var(ddof=1) + 1e-8))


@pytest.mark.parametrize("junk", [0.0, NAN, 1e6])
def test_whitening_sees_valid_entries_only_and_leaves_zero_outside(junk):
    x, mask = torch.randn(4, 5, dtype=torch.float64), torch.rand(4, 5) < 0.6
    white = whiten(torch.where(mask, x, junk), mask)
    assert torch.allclose(white[mask], whiten(x[mask])) and not white[~mask].any()


@pytest.mark.parametrize("shift_mean", [True, False])
def test_trap_16_a_single_entry_becomes_zero(shift_mean):
    assert whiten(torch.tensor([7.0]), shift_mean=shift_mean).tolist() == [0.0]
    mask = torch.tensor([False, True, False])
    assert whiten(torch.tensor([NAN, 7.0, NAN]), mask, shift_mean=shift_mean).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("value", [0.0, 0.1, 1000.1, -3e7])
def test_trap_16_equal_entries_become_zero(value, dtype):
    for n in (2, 7, 100, 1001):
        assert whiten(torch.full((n,), value, dtype=dtype)).abs().max() < 1e-3


def test_whitening_along_axes_keeps_seeds_apart():
    x, mask = torch.randn(3, 4, 5, dtype=torch.float64), torch.rand(3, 4, 5) < 0.6
    mask[1] = False
    mask[1, 0, 0] = True  # a seed with a single entry
    together = whiten(x, mask, dim=(-2, -1))
    for k in range(3):
        assert torch.allclose(together[k], whiten(x[k], mask[k]), atol=1e-12)
    assert not together[1].any()
