"""The PPO loop: one update by plain loops, when it stops, what mini-batches hold, and seeds apart."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from runs import make, train, weights

from ppo_lesson.kl import PaperKL
from ppo_lesson.maze import Maze, MazeBatch
from ppo_lesson.optim import Adam
from ppo_lesson.policies import TabularCritic, TabularPolicy
from ppo_lesson.ppo import PPOConfig, Steps, minibatches, ppo, ppo_loss
from ppo_lesson.rollout import fixed_steps

# ---- one update, by hand ---------------------------------------------------------------------------------------------


def plain_update(logits, table, steps, config):
    """Three epochs of PPO with clipping, for one mini-batch, in loops; gradients written out, Adam too."""
    s, a, r, end, cut, after = (
        x.numpy()
        for x in (
            steps.observations,
            steps.actions,
            steps.rewards,
            steps.terminated,
            steps.truncated,
            steps.next_observations,
        )
    )
    B, T = s.shape
    A = np.zeros((B, T))
    for b in range(B):
        for t in reversed(range(T)):
            future = 0.0 if end[b, t] else config.gamma * table[after[b, t]]
            carried = 0.0 if end[b, t] or cut[b, t] or t == T - 1 else config.gamma * config.lam * A[b, t + 1]
            A[b, t] = r[b, t] + future - table[s[b, t]] + carried
    targets, white = A + table[s], (A - A.mean()) / np.sqrt(A.var(ddof=1) + 1e-8)

    def softmax(x):
        return np.exp(x) / np.exp(x).sum()

    def alive(ratio, weight):
        return (weight > 0 and ratio <= 1.2) or (weight < 0 and ratio >= 0.8)

    old = logits.copy()
    theta, moments = np.concatenate([logits.ravel(), table]), np.zeros((2, 80))
    for epoch in range(1, config.epochs + 1):
        logits, table = theta[:64].reshape(16, 4), theta[64:]
        up, error, objective, loss = np.zeros((16, 4)), np.zeros(16), 0.0, 0.0
        for b in range(B):
            for t in range(T):
                p = softmax(logits[s[b, t]])
                ratio = p[a[b, t]] / softmax(old[s[b, t]])[a[b, t]]
                if alive(ratio, white[b, t]):
                    up[s[b, t]] += ratio * white[b, t] * (np.eye(4)[a[b, t]] - p) / (B * T)
                objective += min(ratio * white[b, t], min(max(ratio, 0.8), 1.2) * white[b, t]) / (B * T)
                miss = table[s[b, t]] - targets[b, t]
                loss += miss**2 / 2 / (B * T)
                error[s[b, t]] += miss / (B * T)
        gradient = np.concatenate([-up.ravel(), config.value_coef * error])
        norm = np.sqrt((gradient**2).sum())
        gradient *= min(1, config.max_grad_norm / (norm + 1e-6))
        moments[0] = 0.9 * moments[0] + 0.1 * gradient
        moments[1] = 0.999 * moments[1] + 0.001 * gradient**2
        rate = np.where(np.arange(80) < 64, config.lr, config.critic_lr)
        step = moments[0] / (1 - 0.9**epoch) / (np.sqrt(moments[1] / (1 - 0.999**epoch)) + 1e-5)
        theta = theta - rate * step
    ended = theta[:64].reshape(16, 4)
    ratios = [softmax(ended[i])[j] / softmax(old[i])[j] for i, j in zip(s.ravel(), a.ravel())]
    clipped = np.mean([not alive(ratio, weight) for ratio, weight in zip(ratios, white.ravel())])
    return theta, {"policy_loss": -objective, "value_loss": loss, "grad_norm": norm, "clip_fraction": clipped}


def test_one_update_of_three_epochs_equals_plain_loops():
    torch.manual_seed(3)
    config = PPOConfig(robots=6, steps=30, epochs=3, lr=0.3, critic_lr=0.1, target_kl=None, max_grad_norm=0.2)
    policy, critic = make("table", 0)
    policy.logits.data, critic.table.data = torch.randn(16, 4).double(), torch.randn(16).double()
    logits, table = policy.logits.detach().numpy().copy(), critic.table.detach().numpy().copy()
    maze = Maze(max_steps=12)  # some episodes are cut
    steps = fixed_steps(MazeBatch(maze, 6, seed=5), policy, 30)
    assert steps.truncated.any()
    theta, expected = plain_update(logits, table, steps, config)
    row = next(ppo(maze, policy, critic, config, seed=5))
    assert np.allclose(np.concatenate([x.numpy().ravel() for x in weights(policy, critic)]), theta, atol=1e-9)
    assert {name: row[name] for name in expected} == pytest.approx(expected, rel=1e-9)
    assert row["clip_fraction"] > 0 and expected["grad_norm"] > 0.2, "clipping and the norm's limit took part"


# ---- the first ratio -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("minibatches", [1, 4])
@pytest.mark.parametrize("kind", ["table", "network"])
def test_trap_1_the_first_ratio_is_1_for_every_seed_and_kind_of_policy(kind, minibatches):
    """Exactly for a table. A network first sees a mini-batch, and the old log-probabilities are those of all steps: a
    processor may add them in another order: 64 products in float32, each rounded by at most 6e-8 of about 1.
    """
    for seeds in (5, range(7)):
        _, _, rows = train(kind, seeds, iterations=4, minibatches=minibatches, lr=0.02, critic_lr=0.02)
        errors = np.array([row["ratio_error"] for row in rows])
        assert errors.shape == ((4,) if seeds == 5 else (4, 7)) and errors.max() <= (0 if kind == "table" else 1e-5)


def test_the_first_ratio_tells_on_a_policy_that_is_not_the_same_twice():
    class Noisy(TabularPolicy):
        def forward(self, observations):
            if torch.is_grad_enabled():  # it learns otherwise than it samples: another precision, say
                self.logits.data += 1e-3 * torch.randn(16, 4)
            return super().forward(observations)

    row = next(ppo(Maze(), Noisy(), TabularCritic(), PPOConfig(), seed=0))
    assert row["ratio_error"] > 1e-5


def test_a_policy_that_differs_too_much_at_once_is_told_of_and_not_learned_from():
    class Other(TabularPolicy):
        def forward(self, observations):
            if torch.is_grad_enabled():
                self.logits.data = torch.randn(16, 4, generator=draws).double() * 3
            return super().forward(observations)

    draws = torch.Generator().manual_seed(0)
    critic = TabularCritic()
    row = next(ppo(Maze(), Other(), critic, PPOConfig(target_kl=1e-3), seed=0))
    assert row["ratio_error"] > 1 and not row.keys() & {"policy_loss", "grad_norm", "gradient_error", "value_gain"}
    assert (critic.table == 0).all(), "the stop came before the first step"


# ---- the loss --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seeds", [(), (3,)])
@pytest.mark.parametrize("objective", ["clip", "penalty", "plain"])
def test_the_loss_is_the_paper_s_with_its_sign_turned(objective, seeds):
    """-objective + c1 1/2 (V - R)^2 - c2 H, written out, and its parts by name."""
    draws = torch.Generator().manual_seed(1)
    policy, old, critic = TabularPolicy(seeds=seeds), TabularPolicy(seeds=seeds), TabularCritic(seeds=seeds)
    for module in (policy, old, critic):
        for p in module.parameters():
            p.data = torch.randn(p.shape, generator=draws).double()
    states, actions = (torch.randint(k, (*seeds, 9), generator=draws) for k in (15, 4))
    logp_old = old(states).log_prob(actions).detach()
    A, R, V = (torch.randn(*seeds, 9, generator=draws).double() for _ in range(3))
    part = Steps(observations=states, actions=actions, logp_old=logp_old, advantages=A, returns=R, values_old=V)
    kl = {"kl": PaperKL(beta=0.7, target=0.01)} if objective == "penalty" else {}
    config = PPOConfig(objective=objective, value_coef=0.3, entropy_coef=0.02, eps=0.1, **kl)
    losses = ppo_loss(policy, critic, part, config, old, 0.7)
    p, q = policy(states).probs, old(states).probs
    ratio = (p / q).gather(-1, actions[..., None])[..., 0]
    expected = ratio * A
    if objective == "clip":
        expected = torch.minimum(expected, ratio.clamp(0.9, 1.1) * A)
    if objective == "penalty":
        expected = expected - 0.7 * (q * (q / p).log()).sum(-1)
    assert losses.total.shape == losses.policy.shape == losses.value.shape == seeds
    assert torch.allclose(losses.policy, -expected.mean(-1))
    assert torch.allclose(losses.value, ((critic(states) - R) ** 2 / 2).mean(-1))
    entropy = -(p * p.log()).sum(-1)
    assert torch.allclose(losses.entropy, entropy) and torch.allclose(losses.values, critic(states))
    assert torch.allclose(losses.total, losses.policy + 0.3 * losses.value - 0.02 * entropy.mean(-1))
    assert ppo_loss(policy, critic, part, replace(config, entropy_coef=0.0), old, 0.7).entropy is None


# ---- mini-batches ----------------------------------------------------------------------------------------------------


def parts_of(config, envs, n):
    ids = torch.arange(n).expand(*envs.seeds, n)
    advantages = torch.randn(*envs.seeds, n).double()
    return list(minibatches(Steps(ids, ids, ids, advantages, ids, ids), config, envs)), advantages


@pytest.mark.parametrize("seeds", [0, range(3)])
@pytest.mark.parametrize("minibatches", [1, 4, 5])
def test_every_epoch_visits_each_step_once_in_a_new_order(seeds, minibatches):
    config, envs = PPOConfig(epochs=3, minibatches=minibatches), MazeBatch(Maze(), 16, seed=seeds)
    parts, _ = parts_of(config, envs, 128)
    assert len(parts) == 3 * minibatches
    orders = [torch.cat([part[0] for part in parts[e * minibatches : (e + 1) * minibatches]], -1) for e in range(3)]
    for order in orders:
        assert torch.equal(order.sort(-1).values, torch.arange(128).expand(*envs.seeds, 128))
    if minibatches > 1:
        assert not torch.equal(orders[0], orders[1]) and not torch.equal(orders[1], orders[2])
        assert {part[0].shape[-1] for part in parts} <= {128 // minibatches, 128 // minibatches + 1}
        if envs.seeds:
            assert not torch.equal(orders[0][0], orders[0][1]), "each seed shuffles for itself"


@pytest.mark.parametrize("minibatches", [1, 4])
def test_advantages_are_whitened_within_each_mini_batch_and_targets_are_not(minibatches):
    config, envs = PPOConfig(minibatches=minibatches), MazeBatch(Maze(), 16, seed=range(3))
    parts, advantages = parts_of(config, envs, 128)
    for ids, _, _, white, same, _ in parts:
        raw = advantages.gather(-1, ids)
        expected = (raw - raw.mean(-1, keepdim=True)) / raw.std(-1, keepdim=True)
        assert torch.allclose(white, expected, atol=1e-6) and torch.equal(ids, same)
    config = PPOConfig(minibatches=minibatches, whiten=False)
    parts, advantages = parts_of(config, envs, 128)
    assert all(torch.equal(part[3], advantages.gather(-1, part[0])) for part in parts)


@pytest.mark.parametrize(("steps", "minibatches"), [(3, 6), (3, 4), (8, 16), (12, 20), (1, 2)])
def test_trap_16_mini_batches_of_a_single_step_are_refused_for_one_number_whitened_is_0(steps, minibatches):
    with pytest.raises(ValueError, match=f"minibatches={minibatches} of {2 * steps} steps.*single step.*whiten=False"):
        train("table", 0, robots=2, steps=steps, minibatches=minibatches)
    policy, critic, _ = train("table", 0, iterations=2, robots=2, steps=steps, minibatches=minibatches, whiten=False)
    assert all(x.isfinite().all() and x.any() for x in weights(policy, critic)), "unwhitened, each teaches something"


@pytest.mark.parametrize(("n", "parts"), [(1, 1), (2, 1), (3, 1), (4, 2), (7, 3), (8, 4), (40, 4)])
def test_resets_that_leave_few_steps_leave_fewer_mini_batches_and_none_of_a_single_step(n, parts):
    envs = MazeBatch(Maze(), 4, seed=0)
    found, _ = parts_of(PPOConfig(minibatches=4, epochs=1), envs, n)
    assert len(found) == parts and all(part[0].numel() >= min(n, 2) for part in found)
    assert sorted(torch.cat([part[0] for part in found]).tolist()) == list(range(n))


# ---- the KL stop -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_the_stop_comes_before_the_step_that_would_follow_it(seed):
    """With a stop the parameters are those after the first epoch whose KL is too large: not one step more."""
    target, settings = 0.004, {"iterations": 1, "lr": 0.05, "critic_lr": 0.05, "anneal": False}
    for epochs in range(1, 11):
        policy, critic, [row] = train("table", seed, epochs=epochs, target_kl=None, **settings)
        if row["approx_kl"] > 1.5 * target:
            break
    assert 1 < epochs < 10
    stopped_policy, stopped_critic, [stopped] = train("table", seed, epochs=10, target_kl=target, **settings)
    assert all(torch.equal(a, b) for a, b in zip(weights(policy, critic), weights(stopped_policy, stopped_critic)))
    assert stopped == row


def test_trap_17_the_stop_is_never_fooled_by_a_negative_estimate():
    """k3 is used, so the row's approx_kl cannot be negative; k1 on the same envs can."""
    _, _, rows = train("table", range(16), lr=0.02, critic_lr=0.4, epochs=2)
    assert all((row["approx_kl"] >= 0).all() for row in rows)


def spy_on_steps(monkeypatch):
    """Records which seeds took each optimizer step."""
    seen, step = [], Adam.step

    def watched(self, *, factor=1.0, active=None):
        seen.append(active.clone())
        step(self, factor=factor, active=active)

    monkeypatch.setattr(Adam, "step", watched)
    return seen


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("table", {"lr": 0.1, "target_kl": 0.01}),
        ("table", {"lr": 0.1, "target_kl": 0.01, "minibatches": 4}),
        ("table", {"lr": 0.1, "target_kl": 0.002, "objective": "penalty", "kl": PaperKL(1.0, 0.003)}),
        ("table", {"lr": 0.1, "target_kl": None, "value_clip": 0.2, "entropy_coef": 0.01, "dual_clip": 1.5}),
        ("network", {"lr": 0.007, "critic_lr": 0.003, "target_kl": 0.01}),
        ("network", {"lr": 0.007, "critic_lr": 0.003, "target_kl": 0.01, "minibatches": 3}),
    ],
)
def test_seed_3_of_16_learns_what_seed_3_alone_learns_whoever_stops_when(monkeypatch, kind, settings):
    seen = spy_on_steps(monkeypatch)
    policy, critic, rows = train(kind, range(16), iterations=6, **settings)
    counts = torch.stack(seen).sum(0)
    if settings["target_kl"]:
        assert len(set(counts.tolist())) > 3, "seeds stop at different times, or the test shows nothing"
    alone_policy, alone_critic, alone = train(kind, 3, iterations=6, **settings)
    for together, single in zip(weights(policy, critic), weights(alone_policy, alone_critic)):
        assert torch.allclose(together[3], single, atol=1e-5 if kind == "network" else 1e-10)
    for many, one in zip(rows, alone):
        for name, value in many.items():
            mine = value[3] if isinstance(value, np.ndarray) else value
            if name in one:
                assert mine == pytest.approx(one[name], rel=1e-3 if kind == "network" else 1e-8, abs=1e-5), name
            else:
                assert math.isnan(mine), name


def test_without_a_target_nobody_stops(monkeypatch):
    seen = spy_on_steps(monkeypatch)
    train("table", range(4), iterations=3, epochs=5, minibatches=2, target_kl=None)
    assert len(seen) == 3 * 5 * 2 and all(active.all() for active in seen)
