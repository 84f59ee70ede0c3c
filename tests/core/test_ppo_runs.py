"""PPO runs: what their rows report, what each setting does, what they learn, and how they refuse or stop."""

import math

import gymnasium
import numpy as np
import pytest
import torch
from runs import NETWORK, make, probabilities, train
from torch import nn
from torch.distributions import Categorical

from ppo_lesson.kl import FixedKL, PaperKL
from ppo_lesson.maze import Maze, MazeBatch, solve
from ppo_lesson.policies import MLPPolicy, TabularCritic, TabularPolicy
from ppo_lesson.ppo import PPOConfig, ppo
from ppo_lesson.rollout import fixed_steps

# ---- the other settings ----------------------------------------------------------------------------------------------


def test_rows_report_what_happened_and_the_learning_rate_falls_to_nothing():
    _, _, rows = train("table", 0, iterations=4, lr=0.2)
    expected = {
        "iteration",
        "env_steps",
        "policy_loss",
        "value_loss",
        "entropy",
        "approx_kl",
        "kl",
        "clip_fraction",
        "explained_variance",
        "ratio_error",
        "stale_starts",
        "advantage_std",
        "grad_norm",
        "lr",
        "gradient_error",
    }
    sometimes = {"return_mean", "target_error", "policy_gain", "value_gain"}
    for row in rows[1:]:
        assert expected <= set(row) <= expected | sometimes and "beta" not in row
        assert ("return_mean" in row) == ("target_error" in row), "both are about episodes that ended"
        assert all(type(x) in (int, float) and math.isfinite(x) for x in row.values())
    assert [row["lr"] for row in rows] == pytest.approx([0.2, 0.15, 0.1, 0.05])
    assert [row["env_steps"] for row in rows] == [128, 256, 384, 512]
    assert "clip_fraction" not in train("table", 0, iterations=1, objective="plain")[2][0]
    assert train("table", 0, iterations=3, lr=0.2, anneal=False)[2][-1]["lr"] == 0.2


def test_the_kl_of_a_row_is_exact_and_from_the_policy_before_the_update():
    policy, critic = make("table", 0)
    steps = fixed_steps(MazeBatch(Maze(), 16, seed=0), policy, 8)
    old = policy.probs.log()
    row = next(ppo(Maze(), policy, critic, PPOConfig(), seed=0))
    new, total = policy.probs.log(), 0.0
    for s in steps.observations.flatten().tolist():
        total += sum(math.exp(p) * (p - q) for p, q in zip(old[s].tolist(), new[s].tolist()))
    assert row["kl"] == pytest.approx(total / 128) and total > 0


def test_beta_follows_the_papers_rule_from_the_kl_of_each_row():
    rule = PaperKL(beta=1.0, target=0.01)
    for seeds in (0, range(8)):
        _, _, rows = train("table", seeds, lr=0.1, objective="penalty", kl=rule, target_kl=None)
        beta = np.ones(np.shape(rows[0]["kl"]))
        for row in rows:
            assert np.shape(row["beta"]) == beta.shape and np.allclose(row["beta"], beta)
            beta = np.where(row["kl"] < 0.01 / 1.5, beta / 2, np.where(row["kl"] > 0.015, beta * 2, beta))
        assert not np.allclose(rows[-1]["beta"], 1)
    assert rule.beta == 1.0, "a configuration is not changed by a run"


@pytest.mark.slow
def test_clip_alone_lets_the_kl_run_a_stop_or_a_strong_penalty_holds_it():
    largest = {}
    for name, settings in {
        "plain": {"objective": "plain"},
        "clip": {},
        "clip + stop": {"target_kl": 0.01},
        "penalty": {"objective": "penalty", "kl": FixedKL(10.0)},
    }.items():
        _, _, rows = train("table", range(16), **{"target_kl": None, "lr": 0.3} | settings)
        largest[name] = np.median(np.max([row["kl"] for row in rows], axis=0))  # of a run; the median of 16 runs
    assert largest["penalty"] < 0.02 < largest["clip + stop"] < 0.1 < largest["clip"] < 1 < largest["plain"]


def test_entropy_value_clip_and_norm_take_part():
    calm = train("table", range(8), entropy_coef=0.0)[2][-1]["entropy"].mean()
    assert train("table", range(8), entropy_coef=0.3)[2][-1]["entropy"].mean() > calm + 0.3
    held = train("table", 0, iterations=1, value_clip=0.05, target_kl=None)[1].table.detach()
    free = train("table", 0, iterations=1, target_kl=None)[1].table.detach()
    assert 0.05 < held.abs().max() < 0.6 * free.abs().max(), "a value that left the fence gets no gradient to go on"
    short = train("table", 0, iterations=1, epochs=1, max_grad_norm=1e-6)[0].logits.detach().abs().max()
    assert short < 0.1 * train("table", 0, iterations=1, epochs=1)[0].logits.detach().abs().max()


def test_many_epochs_reuse_what_one_epoch_wastes():
    once = train("table", range(16), epochs=1, lr=0.05, critic_lr=0.4)[0]
    often = train("table", range(16), epochs=10, lr=0.05, critic_lr=0.4)[0]
    assert solve(often.probs, 0.99).J.median() > solve(once.probs, 0.99).J.median() + 0.5


# ---- what it learns --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "settings"), [("table", {}), ("network", NETWORK)])
def test_ppo_learns_the_maze_within_3000_steps(kind, settings):
    seeds = range(200, 216)
    policy, critic = make(kind, seeds)
    J, steps = [], []
    for row in ppo(Maze(), policy, critic, PPOConfig(**settings), seed=seeds):
        J.append(solve(probabilities(policy, 16), 1.0).J)
        steps.append(row["env_steps"])
    J = torch.stack(J)
    assert len(J) == 23 and np.max(steps) <= 3000
    assert ((J >= 0.49).any(0).sum() >= 15) and ((J[-1] >= 0.48).sum() >= 14), J.max(0).values.sort().values


@pytest.mark.parametrize(
    "settings",
    [
        {"objective": "penalty", "kl": PaperKL(1.0, 0.02)},
        {"minibatches": 4, "lr": 0.1},
        {"eps": 0.1, "eps_high": 0.3, "dual_clip": 3.0},
        {"value_clip": 0.5},
        {"whiten": False},
    ],
    ids=lambda settings: ", ".join(settings),
)
def test_other_settings_learn_too(settings):
    policy, _, _ = train("table", range(16), **settings)
    assert (solve(policy.probs, 0.99).J > 0.2).sum() >= 14, "from -12.3; the best is 0.461"


def test_ppo_learns_another_maze():
    maze = Maze(5, walls=[6, 7, 16, 18], slip=0.1)
    policy, critic = TabularPolicy(25, seeds=(8,)), TabularCritic(25, seeds=(8,))
    before = solve(policy.probs, 0.99, maze=maze).J
    list(ppo(maze, policy, critic, PPOConfig(iterations=40), seed=range(8)))
    assert (solve(policy.probs, 0.99, maze=maze).J > before + 10).all()


def test_a_network_and_a_table_can_work_together():
    policy, critic = MLPPolicy(seed=0), TabularCritic()
    rows = list(ppo(Maze(), policy, critic, PPOConfig(lr=0.01, critic_lr=0.3), seed=0))
    assert all(row["ratio_error"] < 1e-5 for row in rows)  # rounding, see test_ppo
    assert solve(probabilities(policy), 0.99).J > -1


# ---- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "rates"), [("table", 1e200), ("table", 1e308), ("network", 1e30), ("network", 1e38)])
def test_a_run_that_diverges_stops_with_a_diagnosis(kind, rates):
    with pytest.raises(FloatingPointError, match=r"the run diverged: .* lower the learning rates") as caught:
        train(kind, range(2), lr=rates, critic_lr=rates, max_grad_norm=None, target_kl=None)
    assert f"lr={rates}, critic_lr={rates}, max_grad_norm=None, target_kl=None" in str(caught.value)


def test_a_gradient_that_is_no_number_is_a_diverged_run_too():
    """The next mini-batch would ask a distribution of NaN, which torch refuses with a page of numbers."""

    class Own(nn.Linear):
        def forward(self, x):
            return Categorical(logits=super().forward(x))

    policy, critic = Own(4, 2), nn.Sequential(nn.Linear(4, 1), nn.Flatten(-2))
    policy.weight.register_hook(lambda gradient: gradient * torch.nan)
    env = gymnasium.make_vec("CartPole-v1", num_envs=2)
    with pytest.raises(FloatingPointError, match="the run diverged: a parameter is no longer finite"):
        next(ppo(env, policy, critic, PPOConfig(minibatches=2), seed=0))


@pytest.mark.parametrize("rate", [1e3, 1e6])
def test_a_run_that_is_merely_hopeless_goes_on_with_finite_numbers(rate):
    _, _, rows = train("network", 0, lr=rate, critic_lr=rate, target_kl=None)
    assert all(math.isfinite(x) for row in rows for name, x in row.items())


BAD = {
    "no critic": ({}, TypeError, "needs a critic, for example TabularCritic"),
    "objective": ({"objective": "clipped"}, ValueError, "'clip', 'penalty' or 'plain'; got 'clipped'"),
    "a beta that is no rule": ({"objective": "penalty", "kl": 0.5}, TypeError, "FixedKL or a PaperKL.*got float"),
    "a rule without penalty": ({"kl": FixedKL(1.0)}, ValueError, "objective='penalty' and kl go together"),
    "penalty without a rule": ({"objective": "penalty"}, ValueError, "objective='penalty' and kl go together"),
    "target 0": ({"target_kl": 0.0}, ValueError, "target_kl must be positive"),
    "target NaN": ({"target_kl": math.nan}, ValueError, "target_kl must be positive"),
    "eps 1": ({"eps": 1.0}, ValueError, "eps must lie between 0 and 1"),
    "eps 0": ({"eps": 0.0}, ValueError, "eps must lie between 0 and 1"),
    "dual clip 1": ({"dual_clip": 1.0}, ValueError, "dual_clip must be greater than 1"),
    "no epoch": ({"epochs": 0}, ValueError, "epochs must be at least 1"),
    "no step": ({"steps": 0}, ValueError, "steps must be at least 1"),
    "an empty mini-batch": ({"minibatches": 129}, ValueError, "minibatches must be .* at most 128; got 129"),
    "no mini-batch": ({"minibatches": 0}, ValueError, "minibatches must be at least 1"),
    "lr NaN": ({"lr": math.nan}, ValueError, "lr must be a number"),
    "lr below 0": ({"lr": -0.1}, ValueError, "lr must be a number"),
    "critic_lr infinite": ({"critic_lr": math.inf}, ValueError, "critic_lr must be a number"),
    "lam 2": ({"lam": 2.0}, ValueError, "lam must be a number in"),
    "gamma NaN": ({"gamma": math.nan}, ValueError, "gamma must be a number in"),
    "value clip 0": ({"value_clip": 0.0}, ValueError, "clip must be positive"),
    "norm 0": ({"max_grad_norm": 0.0}, ValueError, "max_grad_norm must be positive"),
    "entropy_coef NaN": ({"entropy_coef": math.nan}, ValueError, "entropy_coef must be a finite number"),
}


@pytest.mark.parametrize(("settings", "error", "words"), BAD.values(), ids=BAD.keys())
def test_the_message_names_what_is_wrong(settings, error, words):
    policy, critic = make("table", 0)
    with pytest.raises(error, match=words):
        next(ppo(Maze(), policy, critic if settings else None, PPOConfig(**settings), seed=0))
    assert not policy.logits.detach().any(), "nothing was learned before the error"
