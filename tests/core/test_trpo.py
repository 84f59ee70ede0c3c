"""TRPO: the Fisher matrix built whole, dense solves, closed forms of a softmax table, and the exact J of the maze."""

import math

import gymnasium
import numpy as np
import pytest
import torch
from oracles import random_policy
from torch import nn
from torch.distributions import Categorical

from ppo_lesson.maze import Maze, solve
from ppo_lesson.policies import GaussianPolicy, MLPCritic, MLPPolicy, TabularCritic, TabularPolicy
from ppo_lesson.trpo import TRPOConfig, conjugate_gradient, fisher_vector_product, trpo, trpo_step

STATES, ACTIONS = torch.arange(16).repeat_interleave(4), torch.arange(4).repeat(16)  # every pair once


def small_network():
    """31 parameters, float64, and 40 observations: small enough to build its Fisher matrix entry by entry."""
    policy = MLPPolicy(4, 4, hidden=(3,), seed=1).double()
    for weight in policy.net.weights:
        weight.data *= 3
    assert sum(p.numel() for p in policy.parameters()) == 31
    return policy, torch.randn(40, 4, dtype=torch.float64)


def table(seed, spread=0.4):
    policy = TabularPolicy()
    policy.logits.data = torch.tensor(random_policy(seed, spread=spread)).log()
    return policy


def flat(policy):
    return torch.cat([p.detach().flatten() for p in policy.parameters()])


def fisher(policy, observations):
    """E[score score^T] by its definition: every action of every observation, one score at a time."""
    parameters, F = list(policy.parameters()), 0
    logp = policy(observations).logits.log_softmax(-1)
    for row in logp:
        for entry in row:
            score = torch.cat([g.flatten() for g in torch.autograd.grad(entry, parameters, retain_graph=True)])
            F = F + entry.exp().detach() * torch.outer(score, score) / len(logp)
    return F


def step_with_exact_advantages(policy, gamma=0.99, **settings):
    """One step on all pairs of squares and actions, each weighted by its visits. Returns the old solution too."""
    before = solve(policy.probs, gamma)
    weights = (before.visitation[:, None] * before.probs).flatten()
    found = trpo_step(policy, STATES, ACTIONS, before.A.flatten(), weights=weights, **settings)
    return found, before


def plain_kl(p, q, weights):
    """Mean KL(p || q) of two tables, square by square, in plain Python."""
    total = 0.0
    for s, weight in enumerate(weights):
        total += weight * sum(a * math.log(a / b) for a, b in zip(p[s].tolist(), q[s].tolist()))
    return total / sum(weights)


# ---- Fisher-vector product -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["network", "table"])
def test_fisher_vector_product_equals_hessian_times_v_and_the_definition(kind):
    policy, observations = small_network() if kind == "network" else (table(1, spread=1.0), torch.arange(15))
    parameters = dict(policy.named_parameters())
    sizes = [p.numel() for p in parameters.values()]
    logp_old = policy(observations).logits.log_softmax(-1).detach()

    def kl(theta):
        named = {n: part.view_as(p) for (n, p), part in zip(parameters.items(), theta.split(sizes))}
        new = torch.func.functional_call(policy, named, (observations,)).logits.log_softmax(-1)
        return (logp_old.exp() * (logp_old - new)).sum(-1).mean()

    hessian = torch.autograd.functional.hessian(kl, flat(policy))
    definition = fisher(policy, observations)
    assert definition.abs().max() > 1e-3 and torch.allclose(hessian, definition, atol=1e-12)
    for damping in (0.0, 0.1):
        v = torch.randn(len(hessian), dtype=torch.float64)
        product = fisher_vector_product(policy, observations, v, damping=damping)
        assert torch.allclose(product, hessian @ v + damping * v, atol=1e-12)
        assert torch.allclose(product, definition @ v + damping * v, atol=1e-12)


def test_the_weighted_product_is_the_one_of_repeated_observations():
    policy, v = table(2), torch.randn(64, dtype=torch.float64)
    times = torch.tensor([3.0, 0.0, 1.0, 2.0]).double()
    weighted = fisher_vector_product(policy, torch.arange(4), v, damping=0.01, weights=times)
    repeated = fisher_vector_product(policy, torch.tensor([0, 0, 0, 2, 3, 3]), v, damping=0.01)
    assert torch.allclose(weighted, repeated, atol=1e-14)


# ---- conjugate gradient ----------------------------------------------------------------------------------------------


def test_conjugate_gradient_comes_as_close_to_a_dense_solve_as_its_iterations_allow():
    policy, observations = small_network()
    F = fisher(policy, observations) + 0.1 * torch.eye(31, dtype=torch.float64)
    b = torch.randn(31, dtype=torch.float64)
    exact = torch.linalg.solve(F, b)
    errors = {}
    for iterations in (5, 10, 20):
        x = conjugate_gradient(
            lambda v: fisher_vector_product(policy, observations, v, damping=0.1), b, iterations=iterations, tol=0.0
        )
        errors[iterations] = ((x - exact).norm() / exact.norm()).item()
    assert 1e-6 < errors[5] < 3e-2 and errors[10] < 1e-5 and errors[20] < 1e-11


def test_conjugate_gradient_stops_when_the_residual_is_small():
    calls = []

    def matvec(v):
        calls.append(v)
        return torch.tensor([2.0, 2.0, 5.0]).double() * v

    x = conjugate_gradient(matvec, torch.tensor([2.0, 4.0, 5.0]).double(), iterations=100)
    assert torch.allclose(x, torch.tensor([1.0, 2.0, 1.0]).double())
    assert len(calls) == 2, "two eigenvalues, two products"
    assert conjugate_gradient(matvec, torch.zeros(3).double()).tolist() == [0, 0, 0] and len(calls) == 2


def test_conjugate_gradient_ends_without_harm_where_there_is_no_curvature():
    for matvec in (torch.zeros_like, torch.neg):
        assert conjugate_gradient(matvec, torch.ones(3)).tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="iterations must be at least 1"):
        conjugate_gradient(torch.clone, torch.ones(3), iterations=0)


# ---- one step --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
def test_the_kl_before_the_line_search_is_within_15_percent_of_delta(seed):
    policy = table(seed)
    old = policy.probs
    found, before = step_with_exact_advantages(policy, delta=0.01, damping=1e-3)
    assert found["accepted"] and 0.0085 <= found["kl_before_line_search"] <= 0.0115
    squares = [s for s in range(16) if before.visitation[s] > 0]
    weights = before.visitation[squares].tolist()
    assert found["kl"] == pytest.approx(plain_kl(old[squares], policy.probs[squares], weights), rel=1e-9)
    assert found["kl"] <= 0.01


@pytest.mark.parametrize("seed", range(4))
def test_the_quadratic_model_of_the_kl_of_the_full_step_is_delta(seed):
    """1/2 s^T F s = delta for the step before any shortening, F the damped Fisher matrix, built whole."""
    policy, observations = small_network()
    torch.manual_seed(seed)
    old, F = flat(policy), fisher(policy, observations) + 0.1 * torch.eye(31, dtype=torch.float64)
    found = trpo_step(policy, observations, torch.randint(4, (40,)), torch.randn(40).double(), delta=1e-3)
    step = (flat(policy) - old) / found["step_fraction"]
    assert (step @ F @ step / 2).item() == pytest.approx(1e-3, rel=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_without_damping_the_step_of_a_table_is_proportional_to_the_advantages(seed):
    """The natural gradient of a softmax table is A itself (Kakade 2001): the visits and the probabilities cancel."""
    policy = table(seed)
    old = policy.logits.detach().clone()
    found, before = step_with_exact_advantages(policy, damping=1e-12, iterations=200)
    step, A = ((x - x.mean(-1, keepdim=True))[:15] for x in (policy.logits.detach() - old, before.A))
    assert found["accepted"] and (step * A).sum() / step.norm() / A.norm() > 1 - 1e-6
    assert np.allclose(step / step.norm(), A / A.norm(), atol=1e-4)
    plain = (before.visitation[:, None] * before.probs * before.A)[:15]
    assert (plain * A).sum() / plain.norm() / A.norm() < 0.95, "the plain gradient points elsewhere"


@pytest.mark.parametrize("spread", [0.4, 2.0])
def test_exact_j_rises_for_16_of_16_random_policies(spread):
    for seed in range(16):
        policy = table(seed, spread)
        found, before = step_with_exact_advantages(policy, delta=0.01, damping=1e-3)
        assert found["accepted"] and found["kl"] <= 0.01 and found["surrogate_gain"] > 0
        assert solve(policy.probs, 0.99).J > before.J


@pytest.mark.parametrize("gamma", [0.5, 0.9])
def test_exact_j_never_falls_by_more_than_the_bound_which_is_loose(gamma):
    """J_new >= L - 4 eps gamma / (1 - gamma)^2 * max KL (Schulman et al. 2015, theorem 1), L = J + sum d pi_new A."""
    slack = []
    for seed in range(16):
        policy = table(seed, spread=1.0)
        found, old = step_with_exact_advantages(policy, gamma, delta=0.01, damping=1e-3)
        new = solve(policy.probs, gamma)
        surrogate = (old.visitation[:, None] * new.probs * old.A).sum()
        max_kl = max(plain_kl(old.probs[[s]], new.probs[[s]], [1.0]) for s in range(15))
        penalty = 4 * old.A.abs().max() * gamma / (1 - gamma) ** 2 * max_kl
        assert found["accepted"] and new.J >= old.J + surrogate - penalty
        exactly = (new.visitation[:, None] * new.probs * old.A).sum()  # Kakade and Langford 2002, lemma 6.1
        assert (new.J - old.J).item() == pytest.approx(exactly.item(), rel=1e-9)
        slack.append(((new.J - old.J - surrogate).abs() / penalty).item())
    assert max(slack) < 0.5, "the bound allows for far more than what happens"


# ---- when a step must not be taken -----------------------------------------------------------------------------------


def test_the_line_search_shortens_a_step_that_goes_too_far():
    seeds = [s for s in range(16) if step_with_exact_advantages(table(s, 2.0), damping=1e-6)[0]["step_fraction"] < 1]
    assert len(seeds) > 8
    found, _ = step_with_exact_advantages(table(seeds[0], 2.0), damping=1e-6, shrink=0.9)
    assert found["kl_before_line_search"] > 0.01 >= found["kl"]
    assert found["step_fraction"] in [pytest.approx(0.9**k) for k in range(1, 10)]


def test_the_old_parameters_come_back_bit_by_bit_when_nothing_is_acceptable():
    refused = 0
    for seed in range(16):
        policy = table(seed, spread=2.0)
        old = policy.logits.detach().clone()
        found, _ = step_with_exact_advantages(policy, damping=1e-6, tries=1)
        if not found["accepted"]:
            refused += 1
            assert torch.equal(policy.logits, old)
            assert found["kl_before_line_search"] > 0.01
            assert (found["kl"], found["surrogate_gain"], found["step_fraction"]) == (0, 0, 0)
    assert refused > 8


def test_a_flat_surrogate_moves_nothing():
    policy = table(0)
    old = policy.logits.detach().clone()
    found = trpo_step(policy, STATES, ACTIONS, torch.zeros(64).double())
    assert not found["accepted"] and torch.equal(policy.logits, old) and found["grad_norm"] == 0
    assert "kl_before_line_search" not in found


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_the_scale_of_the_advantages_does_not_change_the_step(scale):
    steps = []
    for factor in (1.0, scale):
        policy = table(3)
        A = factor * solve(policy.probs, 0.99).A.flatten()
        assert trpo_step(policy, STATES, ACTIONS, A, damping=1e-3)["accepted"]
        steps.append(policy.logits.detach())
    assert torch.allclose(*steps, atol=1e-9)


@pytest.mark.parametrize("logit", [40.0, 400.0, 4000.0])
def test_a_policy_that_never_wavers_stays_a_policy(logit):
    policy = TabularPolicy()
    policy.logits.data[:, 1] = logit  # always down: no probability left to shift, no curvature to measure it by
    trpo_step(policy, STATES, ACTIONS, torch.randn(64).double(), damping=0.0)
    assert policy.logits.isfinite().all() and torch.allclose(policy.probs.sum(-1), torch.ones(16).double())


def test_a_parameter_that_plays_no_part_is_left_alone():
    class Extra(nn.Module):
        def __init__(self):
            super().__init__()
            self.unused, self.net = nn.Parameter(torch.ones(3)), MLPPolicy(4, 2, hidden=(3,))
            self.frozen = nn.Parameter(torch.ones(2), requires_grad=False)

        def forward(self, observations):
            return Categorical(logits=self.net(observations).logits * self.frozen)

    policy = Extra()
    found = trpo_step(policy, torch.randn(20, 4), torch.randint(2, (20,)), torch.randn(20))
    assert found["accepted"] and policy.unused.tolist() == [1, 1, 1] and policy.frozen.tolist() == [1, 1]


BAD = {
    "delta 0": ({"delta": 0.0}, "delta must be positive"),
    "delta NaN": ({"delta": math.nan}, "delta must be positive"),
    "damping below 0": ({"damping": -0.1}, "damping not negative"),
    "advantages NaN": ({"advantages": torch.full((64,), math.nan)}, r"advantages\[0\] = nan"),
    "advantages infinite": ({"advantages": torch.full((64,), math.inf)}, r"advantages\[0\] = inf"),
    "nothing": ({"advantages": torch.ones(0)}, "advantages is empty"),
    "weights all 0": ({"weights": torch.zeros(64)}, "weights must not be negative and not all zero"),
    "a weight below 0": ({"weights": torch.linspace(-1, 9, 64)}, "weights must not be negative"),
    "weights of another shape": ({"weights": torch.ones(3)}, r"weights \(3,\)"),
    "delta infinite": ({"delta": math.inf}, "delta must be positive"),
    "damping infinite": ({"damping": math.inf}, "damping not negative"),
    "a line search that lengthens": ({"shrink": 1.25}, "shrink must lie between 0 and 1"),
    "no try": ({"tries": 0}, "tries must be at least 1"),
    "no iteration": ({"iterations": 0}, "iterations must be at least 1"),
}


@pytest.mark.parametrize(("change", "words"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_named_and_changes_nothing(change, words):
    policy = table(0)
    old = policy.logits.detach().clone()
    given = {"advantages": torch.randn(64)} | change
    with pytest.raises(ValueError, match=words):
        trpo_step(policy, STATES, ACTIONS, given.pop("advantages"), **given)
    assert torch.equal(policy.logits, old)


# ---- the trainer -----------------------------------------------------------------------------------------------------


def test_trpo_learns_the_maze_within_its_trust_region():
    final = []
    for seed in range(5):
        policy = TabularPolicy()
        for row in trpo(Maze(), policy, TabularCritic(), TRPOConfig(), seed=seed):
            assert row["accepted"] and 0 < row["kl"] <= 0.01 and row["surrogate_gain"] > 0
        final.append(solve(policy.probs, 0.99).J.item())
        assert row["env_steps"] == 24 * 16 * 8
    assert min(final) > 0.2 and np.median(final) > 0.35, "from -12.3; the best is 0.461"


def test_trpo_trains_a_network_of_float32_and_reports_its_diagnostics():
    policy, critic = MLPPolicy(seed=0), MLPCritic(seed=1)
    config = TRPOConfig(iterations=3, damping=0.1, critic_lr=0.003)
    rows = list(trpo(Maze(), policy, critic, config, seed=0))
    expected = {"iteration", "env_steps", "accepted", "kl", "kl_before_line_search", "surrogate_gain", "step_fraction"}
    assert expected | {"grad_norm", "value_loss", "entropy", "explained_variance"} <= set(rows[-1])
    assert all(isinstance(x, int | float) for x in rows[-1].values())
    assert any(row["accepted"] for row in rows)


def test_trpo_asks_for_one_seed_and_stops_a_critic_that_diverges():
    with pytest.raises(TypeError, match="one policy: seed must be an int"):
        next(trpo(Maze(), TabularPolicy(), TabularCritic(), TRPOConfig(), seed=range(2)))
    with pytest.raises(FloatingPointError, match=r"diverged: critic .* critic_lr=1e\+30"):
        list(trpo(Maze(), MLPPolicy(), MLPCritic(), TRPOConfig(critic_lr=1e30), seed=0))


# ---- Gymnasium vector environments -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_trpo_runs_a_vector_environment_with_standardized_observations_and_masked_steps():
    env = gymnasium.make_vec("CartPole-v1", num_envs=8)  # NEXT_STEP: some steps are nobody's
    policy, critic = MLPPolicy(4, 2, seed=0, standardize=True), MLPCritic(4, seed=1, standardize=True)
    config = TRPOConfig(
        iterations=12, steps=64, damping=0.1, delta=0.02, critic_lr=3e-3, critic_steps=40, normalize_rewards=True
    )
    rows = list(trpo(env, policy, critic, config, seed=0))
    assert rows[-1]["env_steps"] == 12 * 64 * 8
    ended = [row["return_mean"] for row in rows if "return_mean" in row]
    assert max(ended[-5:]) > 3 * ended[0] and ended[0] < 30  # 20 at random
    assert all(row["kl"] <= 0.02 for row in rows if row["accepted"])
    assert policy.net.standardize.moments.count == critic.net.standardize.moments.count < 12 * 64 * 8


def test_trpo_takes_actions_that_are_numbers():
    env = gymnasium.make_vec("Pendulum-v1", num_envs=4)
    policy, critic = GaussianPolicy(3, 1, seed=0), MLPCritic(3, seed=1)
    rows = list(trpo(env, policy, critic, TRPOConfig(iterations=3, steps=50, damping=0.1), seed=0))
    assert all(row["accepted"] and 0 < row["kl"] <= 0.01 for row in rows)
