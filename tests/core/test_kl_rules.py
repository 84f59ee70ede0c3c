"""What pulls a policy back: k1, k2, k3 as a loss and as a reward by enumeration, the bandit with a known optimum, and
the rules that choose beta."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from torch.distributions import Categorical, kl_divergence

from ppo_lesson.kl import FixedKL, PaperKL, ZieglerKL, estimate, estimate_off_policy, exact
from ppo_lesson.ppo import PPOConfig

NAN, INF = math.nan, math.inf
ACTIONS = 8


# ---- by enumeration of 8 actions -------------------------------------------------------------------------------------


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum()


def pair(seed):
    logits, reference = np.random.default_rng(seed).normal(size=(2, ACTIONS))
    return torch.tensor(logits, requires_grad=True), torch.tensor(np.log(softmax(reference)))


def backward_kl_gradient(p, q):
    """d KL(p || q) / d logits of p = p * (log(p / q) - KL(p || q)), on paper."""
    log_ratio = np.log(p / q)
    return p * (log_ratio - (p * log_ratio).sum())


def forward_kl_gradient(p, q):
    """d KL(q || p) / d logits of p = p - q, on paper."""
    return p - q


def as_loss(logits, logq, kind):
    """Mean over actions drawn from p of the gradient of k itself, as when k is added to a loss."""
    logp = torch.log_softmax(logits, -1)
    return torch.autograd.grad((logp.exp().detach() * estimate(logp, logq, kind)).sum(), logits)[0].numpy()


def as_reward(logits, logq, kind):
    """Mean over actions drawn from p of k * d log p: the score-function gradient, as when -k is paid as a reward."""
    logp = torch.log_softmax(logits, -1)
    paid = estimate(logp, logq, kind).detach()
    return torch.autograd.grad((logp.exp().detach() * paid * logp).sum(), logits)[0].numpy()


@pytest.mark.parametrize("seed", range(5))
def test_trap_11_what_each_estimate_pulls_towards_as_a_loss_and_as_a_reward(seed):
    logits, logq = pair(seed)
    p, q = softmax(logits.detach().numpy()), np.exp(logq.numpy())
    backward, forward = backward_kl_gradient(p, q), forward_kl_gradient(p, q)
    assert np.abs(as_loss(logits, logq, "k1")).max() < 1e-15, "as a loss k1 pulls nowhere"
    assert np.allclose(as_loss(logits, logq, "k2"), backward, atol=1e-14)
    assert np.allclose(as_loss(logits, logq, "k3"), forward, atol=1e-14)
    assert np.allclose(as_reward(logits, logq, "k1"), backward, atol=1e-14)
    assert np.allclose(as_reward(logits, logq, "k3"), backward - forward, atol=1e-14)
    cosine = backward @ forward / np.linalg.norm(backward) / np.linalg.norm(forward)
    assert cosine < 0.99, "these two pulls are different, or the test shows nothing"
    assert np.allclose(torch.autograd.grad(exact(logits, logq), logits)[0], backward, atol=1e-14)


# ---- off policy: the actions are those of pi_old ---------------------------------------------------------------------

EPS = torch.finfo(torch.float64).eps


def away(logits, distance, seed):
    """The policy that sampled: log-probabilities, moved by `distance` in a random direction. (8,)"""
    step = torch.tensor(np.random.default_rng(1000 + seed).normal(size=ACTIONS))
    return torch.log_softmax(logits.detach() + distance * step, -1)


def listed(logits, logp_old, k):
    """Mean over actions drawn from pi_old of k, its gradient, and what rounding may do to one of its entries."""
    mean = (logp_old.exp() * k).sum()
    gradient = torch.autograd.grad(mean, logits, retain_graph=True)[0]
    room = 50 * ACTIONS * EPS * (1 + k.detach().abs().max()).item()  # eight terms, some ten operations each, twice
    return mean.item(), gradient, room


@pytest.mark.parametrize("distance", [0.0, 0.03, 0.3, 1.0, 2.0])
@pytest.mark.parametrize("seed", range(5))
def test_off_policy_every_kind_has_the_gradient_of_the_kl_and_k1_and_k3_its_value(seed, distance):
    logits, logq = pair(seed)
    logp, logp_old = torch.log_softmax(logits, -1), away(logits, distance, seed)
    right = torch.tensor(backward_kl_gradient(softmax(logits.detach().numpy()), np.exp(logq.numpy())))
    for kind in ("k1", "k2", "k3"):
        mean, gradient, room = listed(logits, logp_old, estimate_off_policy(logp, logp_old, logq, kind))
        assert (gradient - right).abs().max() < room, kind
        assert (abs(mean - exact(logits, logq).item()) < room) == (kind != "k2")


@pytest.mark.parametrize("seed", range(5))
def test_without_a_ratio_no_kind_is_right_off_policy_and_k2_gets_worse_the_farther(seed):
    """Which is what a loss without it does from the second step of a rollout on."""
    logits, logq = pair(seed)
    logp = torch.log_softmax(logits, -1)
    right = torch.tensor(backward_kl_gradient(softmax(logits.detach().numpy()), np.exp(logq.numpy())))
    off = {kind: [] for kind in ("k1", "k2", "k3")}
    for distance in (0.0, 0.1, 0.3, 1.0):
        for kind, found in off.items():
            _, gradient, room = listed(logits, away(logits, distance, seed), estimate(logp, logq, kind))
            found.append(((gradient - right).norm() / right.norm()).item())
    assert off["k2"][0] < room and off["k2"] == sorted(off["k2"])
    assert min(off["k2"][1], *off["k1"], *off["k3"]) > 0.01


@pytest.mark.parametrize("seed", range(5))
def test_k2_wants_its_ratio_as_a_number_and_the_others_theirs_live(seed):
    """The other way round k2 follows its own biased mean, k1 pulls nowhere, k3 in the other direction."""
    logits, logq = pair(seed)
    logp, logp_old = torch.log_softmax(logits, -1), away(logits, 0.3, seed)
    right = torch.tensor(backward_kl_gradient(softmax(logits.detach().numpy()), np.exp(logq.numpy())))
    ratio = (logp - logp_old).exp()
    for kind in ("k1", "k2", "k3"):
        swapped = (ratio if kind == "k2" else ratio.detach()) * estimate(logp, logq, kind)
        assert (listed(logits, logp_old, swapped)[1] - right).abs().max() > 0.01, kind


@pytest.mark.parametrize("kind", ["k1", "k2", "k3"])
def test_for_tokens_the_gradient_is_that_of_the_kl_after_each_prefix(kind):
    """All replies of two tokens out of three, listed: pi_old chose the prefixes, as in every ratio of PPO."""
    rng = np.random.default_rng(5)
    first, second, old1, old2, ref1, ref2 = (torch.tensor(rng.normal(size=shape)) for shape in ((3,), (3, 3)) * 3)
    first.requires_grad_(), second.requires_grad_()
    loss = 0.0
    for a, b in product(range(3), repeat=2):
        (logp, old, ref) = (
            torch.stack([x.log_softmax(-1)[a], y.log_softmax(-1)[a, b]])
            for x, y in ((first, second), (old1, old2), (ref1, ref2))
        )
        loss = loss + old.sum().exp() * estimate_off_policy(logp, old, ref, kind).sum()
    right = exact(first, ref1) + (old1.softmax(-1) * exact(second, ref2)).sum()
    for x in (first, second):
        found, wanted = (torch.autograd.grad(y, x, retain_graph=True)[0] for y in (loss, right))
        assert torch.allclose(found, wanted, rtol=0, atol=50 * 9 * 10 * EPS)


def test_the_ratio_is_limited_and_nothing_flows_where_it_must_not():
    logp, old, ref = (torch.tensor([x], requires_grad=True, dtype=torch.float64) for x in (-0.5, -90.0, -1.0))
    for kind in ("k1", "k2", "k3"):
        k = estimate_off_policy(logp, old, ref, kind)
        assert k.isfinite().all() and torch.autograd.grad(k, logp, retain_graph=True)[0].isfinite().all()
        assert torch.autograd.grad(k.sum(), (old, ref), allow_unused=True) == (None, None)
    with pytest.raises(ValueError, match="kind must be"):
        estimate_off_policy(logp, old, ref, "k4")
    with pytest.raises(ValueError, match=r"one shape: logp \(1,\), logp_old \(2,\)"):
        estimate_off_policy(logp, torch.zeros(2).double(), ref, "k2")


@pytest.mark.parametrize("seed", range(5))
def test_trap_2_the_estimates_their_formulas_and_their_means(seed):
    logits, logq = pair(seed)
    p, q = softmax(logits.detach().numpy()), np.exp(logq.numpy())
    formulas = {
        "k1": [math.log(a / b) for a, b in zip(p, q)],
        "k2": [math.log(a / b) ** 2 / 2 for a, b in zip(p, q)],
        "k3": [b / a - 1 - math.log(b / a) for a, b in zip(p, q)],
    }
    KL = kl_divergence(Categorical(logits=logits.detach()), Categorical(logits=logq)).item()
    for kind, k in formulas.items():
        ours = estimate(torch.log_softmax(logits.detach(), -1), logq, kind).numpy()
        assert np.allclose(ours, k, atol=1e-14)
        assert ((p * ours).sum() == pytest.approx(KL)) == (kind != "k2")
    same = estimate(logq, logq.clone(), "k1"), estimate(logq, logq.clone(), "k2"), estimate(logq, logq.clone(), "k3")
    assert all(torch.equal(k, torch.zeros(ACTIONS).double()) for k in same), "a policy is at distance 0 from itself"


def test_k3_is_calmer_than_k1_near_the_reference_and_may_be_wilder_far_away():
    logits, logq = pair(3)
    for share, calmer in ((0.1, True), (1.0, False)):
        logp = torch.log_softmax(share * logits.detach() + (1 - share) * logq, -1)
        k1, k3 = (estimate(logp, logq, kind) for kind in ("k1", "k3"))
        assert ((logp.exp() * k3.square()).sum() < (logp.exp() * k1.square()).sum()) == calmer  # their means are equal


def test_a_sampled_k1_may_be_negative_while_k3_may_not():
    logits, logq = pair(0)
    logp = torch.log_softmax(0.3 * logits.detach() + 0.7 * logq, -1)  # close to the reference: noise wins
    batches = torch.multinomial(logp.exp(), 400 * 16, replacement=True).view(400, 16)
    mean = {kind: estimate(logp[batches], logq[batches], kind).mean(-1) for kind in ("k1", "k3")}
    assert (mean["k1"] < 0).any() and (mean["k3"] >= 0).all()


def test_k3_of_a_policy_far_away_stays_finite_with_its_gradient():
    logp = torch.tensor([-200.0], requires_grad=True)
    k3 = estimate(logp, torch.zeros(1), "k3")
    assert k3.isfinite().all() and torch.autograd.grad(k3.sum(), logp)[0].isfinite().all()


# ---- the bandit with a known optimum ---------------------------------------------------------------------------------


BETA = 0.5
R = torch.tensor(np.random.default_rng(4).normal(size=ACTIONS))
REFERENCE = torch.log_softmax(torch.tensor(np.random.default_rng(5).normal(size=ACTIONS)), -1)


def bandit(where, kind, steps=400):
    """Natural-gradient ascent on E[r] - beta * KL(pi || pi_ref), the KL as a reward or as a loss; all means exact."""
    logits = REFERENCE.clone().requires_grad_()
    for _ in range(steps):
        logp = torch.log_softmax(logits, -1)
        k, p = estimate(logp, REFERENCE, kind), logp.exp().detach()
        paid = R - BETA * k.detach() if where == "reward" else R
        objective = (p * paid * logp).sum() - (BETA * (p * k).sum() if where == "loss" else 0)
        natural = torch.autograd.grad(objective, logits)[0] / p  # the Fisher matrix of a softmax, inverted
        logits = (logits.detach() + 0.2 * natural).requires_grad_()
    policy = torch.softmax(logits.detach(), -1).numpy()
    return policy, (policy * (R.numpy() - BETA * np.log(policy / REFERENCE.exp().numpy()))).sum()


def test_the_leash_to_a_reference_has_a_closed_form_and_only_the_right_gradients_reach_it():
    """pi* is proportional to pi_ref * exp(r / beta), and J* = beta * log sum pi_ref * exp(r / beta)."""
    weights = [math.exp(ref + r / BETA) for ref, r in zip(REFERENCE.tolist(), R.tolist())]
    best, J = np.array(weights) / sum(weights), BETA * math.log(sum(weights))
    reached = {(w, k): bandit(w, k) for w, k in (("reward", "k1"), ("loss", "k2"), ("loss", "k3"), ("loss", "k1"))}
    for right in (("reward", "k1"), ("loss", "k2")):
        policy, value = reached[right]
        assert np.allclose(policy, best, atol=1e-6) and value == pytest.approx(J, abs=1e-9)
    policy, value = reached["loss", "k3"]
    assert J - value > 1e-3 and np.abs(policy - best).max() > 1e-2, "another leash, another optimum"
    policy, value = reached["loss", "k1"]
    assert J - value > 0.1 and policy.argmax() == R.argmax() and policy.max() > 0.999, "no leash at all"


# ---- who decides beta: about the old policy --------------------------------------------------------------------------

NINE = [(0.0, 0.5), (0.001, 0.5), (0.0133, 0.5), (0.0134, 1), (0.02, 1), (0.0299, 1), (0.0301, 2), (0.1, 2), (7.0, 2)]


@pytest.mark.parametrize("beta", [1e-3, 1.0, 40.0])
def test_nine_cases_of_the_papers_rule(beta):
    for kl, factor in NINE:  # the target is 0.02: its dead zone runs from 0.01333 to 0.03
        rule = PaperKL(beta=beta, target=0.02)
        assert rule.update(kl_from_old=kl) == rule.beta == beta * factor


def test_the_edges_belong_to_the_dead_zone():
    for kl in (2.0, 4.5):  # target / 1.5 and 1.5 * target, both exact
        assert PaperKL(beta=1.0, target=3.0).update(kl_from_old=kl) == 1.0


def test_the_rule_that_circulates_is_another_one():
    """A popular tutorial halves beta whenever KL < 1.5 * target: inside the dead zone too, so that it never rests."""
    rule = PaperKL(beta=1.0, target=0.01)
    assert [rule.update(kl_from_old=0.01) for _ in range(5)] == [1.0] * 5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_beta_for_each_seed_follows_the_same_rule(dtype):
    rule = PaperKL(beta=0.3, target=0.02)
    measured = torch.tensor([kl for kl, _ in NINE], dtype=dtype)
    first = rule.update(kl_from_old=measured)
    assert first.dtype == dtype and np.allclose(first, [0.3 * factor for _, factor in NINE])
    second = rule.update(kl_from_old=measured.flip(0))
    assert np.allclose(second, [0.3 * a * b for (_, a), (_, b) in zip(NINE, NINE[::-1])])


def test_a_start_beta_off_by_100_is_mended_by_doubling_and_halving():
    for start in (1e-2, 1e2):
        rule = PaperKL(beta=start, target=0.02)
        for _ in range(12):
            rule.update(kl_from_old=0.02 / rule.beta)  # a policy that moves less the larger beta is
        assert 1 / 1.5 <= rule.beta <= 1.5


# ---- about the reference ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kl", "beta"), [(1.0, 0.149808), (6.0, 0.15), (12.0, 0.150192), (60.0, 0.150192)])
def test_zieglers_table(kl, beta):
    assert ZieglerKL(beta=0.15, target=6.0).update(kl_to_reference=kl, n=64) == pytest.approx(beta, abs=1e-9)


def test_zieglers_rule_is_proportional_within_its_limits():
    for kl, n, horizon in ((5.5, 10, 1000), (6.6, 512, 10_000), (0.0, 64, 64), (-0.3, 7, 10_000)):
        error = kl / 6.0 - 1
        error = 0.2 if error > 0.2 else -0.2 if error < -0.2 else error
        rule = ZieglerKL(beta=0.15, target=6.0, horizon=horizon)
        assert rule.update(kl_to_reference=kl, n=n) == rule.beta == pytest.approx(0.15 * (1 + error * n / horizon))


# ---- never mix them --------------------------------------------------------------------------------------------------


def test_the_two_rules_cannot_be_called_by_each_others_names():
    with pytest.raises(TypeError, match="kl_to_reference"):
        PaperKL(1.0, 0.01).update(kl_to_reference=0.02)
    with pytest.raises(TypeError, match="kl_from_old"):
        ZieglerKL(1.0, 6.0).update(kl_from_old=0.02, n=64)
    with pytest.raises(TypeError, match="n"):
        PaperKL(1.0, 0.01).update(0.02, n=64)
    with pytest.raises(TypeError, match="n"):
        ZieglerKL(1.0, 6.0).update(12.0)
    assert not hasattr(FixedKL(1.0), "update")


def test_ppo_refuses_a_rule_about_a_reference():
    with pytest.raises(TypeError, match=r"FixedKL or a PaperKL.*got ZieglerKL.*reference policy"):
        PPOConfig(objective="penalty", kl=ZieglerKL(0.1, 6.0))


BAD = {
    "trap 18, target 0": (lambda: PaperKL(1.0, 0.0), "target must be positive"),
    "target below 0": (lambda: ZieglerKL(1.0, -6.0), "target must be positive"),
    "target NaN": (lambda: PaperKL(1.0, NAN), "target must be a finite number; got"),
    "target infinite": (lambda: ZieglerKL(1.0, INF), "target must be a finite number; got"),
    "beta below 0": (lambda: FixedKL(-1.0), "beta must not be negative; got -1.0"),
    "beta NaN": (lambda: FixedKL(NAN), "beta must be a finite number; got"),
    "Ziegler's beta below 0": (lambda: ZieglerKL(-0.1, 6.0), "beta must not be negative"),
    "a beta of 0 that could only be doubled": (lambda: PaperKL(0.0, 0.01), "beta must be positive"),
    "one of three betas": (lambda: PaperKL(torch.tensor([1.0, -1.0, 1.0]), 0.01), "beta must be positive"),
    "horizon 0": (lambda: ZieglerKL(1.0, 6.0, horizon=0), "horizon must be at least 1"),
    "KL NaN": (lambda: PaperKL(1.0, 0.01).update(NAN), "kl_from_old must be a finite number; got"),
    "one KL NaN": (lambda: PaperKL(1.0, 0.01).update(torch.tensor([0.0, NAN])), r"kl_from_old\[1\]"),
    "KL to the reference NaN": (lambda: ZieglerKL(1.0, 6.0).update(NAN, 64), "kl_to_reference must be a finite number"),
    "no episode": (lambda: ZieglerKL(1.0, 6.0).update(6.0, 0), "n must be at least 1"),
    "logp NaN": (lambda: estimate(torch.tensor([NAN]), torch.zeros(1), "k2"), r"logp\[0\] = nan"),
    "logp_ref infinite": (lambda: estimate(torch.zeros(1), torch.tensor([-INF]), "k1"), r"logp_ref\[0\] = -inf"),
}


@pytest.mark.parametrize(("call", "words"), BAD.values(), ids=BAD.keys())
def test_the_message_names_what_is_wrong(call, words):
    with pytest.raises(ValueError, match=words):
        call()
