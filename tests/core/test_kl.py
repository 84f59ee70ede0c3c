"""KL divergence: against torch.distributions and plain sums; its estimates by enumeration of every action."""

import math

import pytest
import torch
from torch.distributions import Categorical, kl_divergence

from ppo_lesson import kl


def pair(*shape):
    p, q = (torch.randn(*shape, dtype=torch.float64, requires_grad=True) for _ in range(2))
    return p, q


def test_exact_kl_agrees_with_torch_in_value_and_gradient():
    p, q = pair(3, 4, 5)
    ours, theirs = kl.exact(p, q), kl_divergence(Categorical(logits=p), Categorical(logits=q))
    assert ours.shape == (3, 4) and torch.allclose(ours, theirs)
    for a, b in zip(torch.autograd.grad(ours.sum(), (p, q)), torch.autograd.grad(theirs.sum(), (p, q))):
        assert torch.allclose(a, b)


def test_exact_kl_of_two_coins():
    p, q = torch.tensor([0.5, 0.5]).log(), torch.tensor([0.9, 0.1]).log()
    forward = 0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1)
    backward = 0.9 * math.log(0.9 / 0.5) + 0.1 * math.log(0.1 / 0.5)
    assert kl.exact(p, q).item() == pytest.approx(forward, rel=1e-6)
    assert kl.exact(q, p).item() == pytest.approx(backward, rel=1e-6)


def test_trap_2_the_divergence_from_itself_is_exactly_zero_with_zero_gradient():
    p, _ = pair(6)
    same = p.detach().clone()
    divergence = kl.exact(p, same)
    assert divergence.item() == 0
    assert torch.autograd.grad(divergence, p)[0].abs().max() < 1e-15


def test_an_action_that_p_never_takes_counts_nothing_and_one_that_q_never_takes_is_infinite():
    p = torch.tensor([0.0, 0.0, -math.inf], requires_grad=True)
    q = torch.tensor([0.0, math.log(3), -math.inf], requires_grad=True)
    divergence = kl.exact(p, q)
    assert divergence.item() == pytest.approx(0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75), rel=1e-5)
    assert all(g.isfinite().all() for g in torch.autograd.grad(divergence, (p, q)))
    assert kl.exact(torch.zeros(3), q).item() == math.inf


# ---- estimates from samples ----------------------------------------------------------------------------------------


def expectation(p, values):
    return (torch.softmax(p, -1).detach() * values).sum()


def test_k1_and_k3_have_the_exact_kl_as_their_mean_and_k2_does_not():
    p, q = pair(8)
    logp, logq = torch.log_softmax(p, -1), torch.log_softmax(q, -1)
    exact = kl.exact(p, q).item()
    mean = {kind: expectation(p, kl.estimate(logp, logq, kind)).item() for kind in ("k1", "k2", "k3")}
    assert mean["k1"] == pytest.approx(exact) and mean["k3"] == pytest.approx(exact)
    assert abs(mean["k2"] - exact) > 1e-3


def test_trap_17_k3_is_never_negative_and_k1_is():
    d = torch.linspace(-3, 3, 61, dtype=torch.float64)
    assert (kl.estimate(d, torch.zeros_like(d), "k3") >= 0).all()
    assert (kl.estimate(d, torch.zeros_like(d), "k1") < 0).any()


def test_trap_11_as_a_loss_k1_pulls_nowhere_k2_pulls_right_and_k3_pulls_the_other_direction():
    p, q = pair(8)
    logp, logq = torch.log_softmax(p, -1), torch.log_softmax(q, -1).detach()

    def pull(kind):
        return torch.autograd.grad(expectation(p, kl.estimate(logp, logq, kind)), p, retain_graph=True)[0]

    right = torch.autograd.grad(kl.exact(p, q.detach()), p)[0]
    other = torch.autograd.grad(kl.exact(q.detach(), p), p)[0]
    assert pull("k1").abs().max() < 1e-15
    assert torch.allclose(pull("k2"), right)
    assert torch.allclose(pull("k3"), other) and not torch.allclose(other, right, atol=1e-2)


# ---- who decides beta ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("measured", "factor"), [(0.0, 0.5), (0.0066, 0.5), (0.0067, 1), (0.015, 1), (0.0151, 2)])
def test_the_rule_of_the_paper_halves_keeps_or_doubles(measured, factor):
    rule = kl.PaperKL(beta=0.3, target=0.01)
    assert rule.update(measured) == rule.beta == pytest.approx(0.3 * factor)


@pytest.mark.parametrize(("measured", "beta"), [(1, 0.149808), (6, 0.15), (12, 0.150192), (60, 0.150192)])
def test_the_rule_of_ziegler_moves_in_proportion_to_a_limited_error(measured, beta):
    rule = kl.ZieglerKL(beta=0.15, target=6.0, horizon=10_000)
    assert rule.update(measured, n=64) == rule.beta == pytest.approx(beta, abs=1e-9)


@pytest.mark.parametrize("rule", [kl.PaperKL, kl.ZieglerKL])
@pytest.mark.parametrize("target", [0.0, -1.0])
def test_trap_18_a_target_that_is_not_positive_is_refused(rule, target):
    with pytest.raises(ValueError, match="target"):
        rule(beta=1.0, target=target)
