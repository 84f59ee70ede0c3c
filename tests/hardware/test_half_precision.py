"""float16 and bfloat16: what is finite and right in float32 is finite and right there, as far as the type can say."""

import pytest
import torch

from ppo_lesson.kl import estimate, estimate_off_policy
from ppo_lesson.maze import Maze
from ppo_lesson.objectives import aggregate, clipped_surrogate, entropy, explained_variance, surrogate
from ppo_lesson.policies import TabularCritic, TabularPolicy
from ppo_lesson.ppo import PPOConfig, ppo
from ppo_lesson.returns import whiten

HALF = pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])


@HALF
@pytest.mark.parametrize("far", [-60.0, -12.0, 0.0, 12.0, 60.0])
def test_ratios_far_from_1_have_finite_values_and_gradients(dtype, far):
    """exp(12) is infinite in float16: the gradient was NaN where the value was fine."""
    old = torch.full((3,), -1.0, dtype=dtype)
    advantages = torch.tensor([1.0, 0.0, -1.0], dtype=dtype)
    for objective in (surrogate, clipped_surrogate):
        logp = (old + far).detach().requires_grad_()
        value = objective(logp, old, advantages)
        gradient = torch.autograd.grad(value.sum(), logp)[0]
        assert value.dtype == gradient.dtype == dtype
        assert value.isfinite().all() and gradient.isfinite().all(), objective.__name__
        assert value[1] == 0 and gradient[1] == 0
    for kind in ("k1", "k2", "k3"):
        logp = (old + far).detach().requires_grad_()
        estimates = [estimate(logp, old, kind)]
        estimates += [estimate_off_policy(logp, old, old, kind)] if abs(far) < 60 else []  # 60 squared times a ratio
        for k in estimates:
            assert k.isfinite().all() and torch.autograd.grad(k.sum(), logp)[0].isfinite().all(), kind


@HALF
@pytest.mark.parametrize(
    "x", [[0.0, 300.0, 600.0], [1.0, 1.0, 1.0], [-2e-4, -1e-4, 0.0, 1e-4, 2e-4], [5.0], [6e4, -6e4]]
)
def test_whitening_sums_squares_in_float32(dtype, x):
    """In float16 300 squared is infinite, and 1e-8 is 0."""
    x = torch.tensor(x, dtype=dtype)
    found, right = whiten(x), whiten(x.double())
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), right, rtol=2 * torch.finfo(dtype).eps, atol=1e-6)


@HALF
@pytest.mark.parametrize("how", ["token-mean", "seq-mean-token-mean", "seq-mean-token-sum"])
def test_means_do_not_overflow_on_their_way(dtype, how):
    x = torch.full((100, 40), 1000.0, dtype=dtype)
    mean = aggregate(x, how=how)
    assert mean.dtype == dtype
    assert abs(mean.item() / (40_000 if how.endswith("sum") else 1000) - 1) <= torch.finfo(dtype).eps
    rising = x[0] + 8 * torch.arange(40).to(dtype)
    assert explained_variance(rising, rising) == 1


def test_the_mean_of_integers_is_no_integer():
    assert aggregate(torch.tensor([0, 1])).item() == 0.5 and aggregate(torch.tensor([True, False])).item() == 0.5


@HALF
@pytest.mark.parametrize("logits", [[127.0, 128.0], [100.0, 101.0, 99.0, 0.0], [-60.0, -60.0], [0.0, 1.0]])
def test_entropy_is_rounded_at_its_own_size_not_at_that_of_the_logits(dtype, logits):
    """log p is rounded once, p once, each product and the sum: a few units of the largest term."""
    logits = torch.tensor(logits, dtype=dtype)
    assert abs(entropy(logits).double() - entropy(logits.double())) < 4 * len(logits) * torch.finfo(dtype).eps


def test_entropy_far_from_0_in_float32():
    logits = torch.tensor([1e6, 1e6 + 1.0])
    assert abs(entropy(logits).double() - entropy(logits.double())) < 8 * torch.finfo(torch.float32).eps


def test_a_policy_of_float16_trains():
    policy, critic = TabularPolicy(dtype=torch.float16), TabularCritic(dtype=torch.float16)
    rows = list(ppo(Maze(), policy, critic, PPOConfig(iterations=4, lr=0.05, critic_lr=0.05), seed=0))
    assert len(rows) == 4 and policy.logits.isfinite().all() and policy.logits.detach().any()
