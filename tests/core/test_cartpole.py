"""CartPole as tensors: Gymnasium's CartPole-v1 step by step, seeds apart from each other, and the same trainer."""

import math

import gymnasium
import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Categorical

from course.settings import CARTPOLE, POLES
from ppo_lesson.cartpole import CartPole, CartPoleBatch
from ppo_lesson.policies import MLPCritic, MLPPolicy
from ppo_lesson.ppo import PPOConfig, ppo
from ppo_lesson.reinforce import ReinforceConfig, reinforce

SHORT = PPOConfig(iterations=3, robots=6, steps=40, epochs=2, minibatches=3, lr=0.01, critic_lr=0.01, target_kl=None)


class Balance(nn.Module):
    """Pushes to the side to which the pole falls, or the cart shall go: it stands for 500 steps. noise: of one push."""

    def __init__(self, noise=0.0):
        super().__init__()
        self.noise = noise

    def forward(self, x):
        right = (x @ torch.tensor([0.1, 0.5, 3.0, 1.0]) > 0).float() * (1 - 2 * self.noise) + self.noise
        return Categorical(probs=torch.stack([1 - right, right], -1))


def networks(seed, hidden=(16,)):
    return MLPPolicy(4, 2, hidden=hidden, seed=seed), MLPCritic(4, hidden=hidden, seed=seed)


# ---- Gymnasium's numbers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [0.0, 0.3, 0.5], ids=["balanced", "clumsy", "at random"])
@pytest.mark.parametrize("limit", [pytest.param(500, marks=pytest.mark.slow), 37])
def test_gymnasium_arrives_where_the_batch_does(noise, limit):
    """Every cart of a rollout walked again by Gymnasium, from the same starts, with the same actions, on its own.

    Nothing is corrected on the way. Both compute in float64, where a step rounds by some 1e-16 and a fall multiplies
    it by less than e^(3 * 10) in an episode; what is shown is float32, which rounds by 6e-8 of the number.
    """
    batch = CartPoleBatch(CartPole(limit), 4, seed=3)
    start, ends = batch.exact.clone(), []
    steps = batch.collect(Balance(noise), 520)
    fresh = CartPoleBatch(CartPole(limit), 4, seed=3)
    fresh.uniforms(520)
    starts = fresh.starts(520)  # those of the rollout: drawn in the same order
    for cart in range(4):
        env = gymnasium.make("CartPole-v1", max_episode_steps=limit)
        env.reset(seed=0)
        env.unwrapped.state, total = start[cart].numpy(), 0.0
        for t in range(520):
            seen = np.array(env.unwrapped.state, dtype=np.float32)
            np.testing.assert_allclose(steps.observations[cart, t].numpy(), seen, rtol=1e-6, atol=1e-9)
            shown, reward, terminated, truncated, _ = env.step(int(steps.actions[cart, t]))
            total += reward
            np.testing.assert_allclose(steps.next_observations[cart, t].numpy(), shown, rtol=1e-6, atol=1e-9)
            assert steps.terminated[cart, t] == terminated
            assert steps.truncated[cart, t] == (truncated and not terminated), "here they are never both set"
            assert steps.rewards[cart, t] == reward
            assert steps.episode_returns[cart, t] == (total if terminated or truncated else 0)
            if terminated or truncated:
                ends.append(total)
                env.reset()
                env.unwrapped.state, total = starts[t, cart].numpy(), 0.0
    assert len(ends) >= 4
    assert noise or set(ends) == {float(limit)}, "a pole that stands is cut off by the clock alone"


def test_numbers_are_gymnasiums_kinds():
    batch = CartPoleBatch(CartPole(), 3, seed=0)
    steps = batch.collect(Balance(), 5, critic=lambda x: x.sum(-1))
    assert batch.exact.dtype == torch.float64 and steps.observations[:, 0].abs().max() <= 0.05
    assert {x.dtype for x in (steps.observations, steps.next_observations, steps.rewards, steps.logp)} == {
        torch.float32
    }
    assert steps.observations.shape == (3, 5, 4) and steps.values.shape == steps.next_values.shape == (3, 5)
    assert torch.equal(steps.observations[:, 1:], steps.next_observations[:, :-1]), "nobody fell in five steps"


def test_a_fall_in_the_last_step_is_a_fall():
    """Where Gymnasium sets both flags, the future is worth nothing."""
    falls = CartPoleBatch(CartPole(), 1, seed=1).collect(Balance(0.5), 200).terminated[0].nonzero()[0].item()
    steps = CartPoleBatch(CartPole(falls + 1), 1, seed=1)
    steps.starts(200), steps.restart([1])
    found = steps.collect(Balance(0.5), 200)
    assert found.terminated[0, falls] and not found.truncated[0, falls]


def test_actions_come_with_the_policys_probabilities():
    """1 to the right with probability 0.7: 40,000 draws, within four standard errors."""
    steps = CartPoleBatch(CartPole(1), 40_000, seed=5).collect(Balance(0.3), 1)
    right = Balance(0.3)(steps.observations).probs[..., 1]
    assert abs((steps.actions - right).mean()) < 4 * math.sqrt(0.21 / 40_000)
    assert torch.equal(steps.logp, Balance(0.3)(steps.observations).log_prob(steps.actions))


# ---- seeds -----------------------------------------------------------------------------------------------------------


def test_a_seed_among_others_is_the_seed_alone():
    """The rollout bit for bit; a training up to how a product of matrices is split, 1e-5 after some steps."""
    together, alone = (CartPoleBatch(CartPole(30), 4, seed=s) for s in ([3, 8, 5], 8))
    for _ in range(2):
        many, one = together.collect(Balance(0.4), 25), alone.collect(Balance(0.4), 25)
        assert all(torch.equal(a[1], b) for a, b in zip(vars(many).values(), vars(one).values()) if b is not None)
    (policies, critics), (policy, critic) = networks([3, 8, 5]), networks(8)
    rows = list(ppo(CartPole(), policies, critics, SHORT, seed=[3, 8, 5]))
    single = list(ppo(CartPole(), policy, critic, SHORT, seed=8))
    for a, b in zip(rows, single):
        assert a["return_mean"][1] == pytest.approx(b["return_mean"]) and a["kl"][1] == pytest.approx(b["kl"], rel=1e-3)
    for a, b in zip(policies.parameters(), policy.parameters()):
        torch.testing.assert_close(a[1], b, rtol=1e-3, atol=1e-4)


def test_a_stopped_run_goes_on_bit_by_bit(tmp_path):
    config = PPOConfig(**vars(SHORT) | {"iterations": 6, "checkpoint_every": 3})

    def trained(resume=None, until=6):
        policy, critic = networks(2)
        run = ppo(CartPole(20), policy, critic, config, seed=2, resume=resume)
        return policy, [row for _, row in zip(range(until), run)]

    whole, rows = trained()
    trained(tmp_path / "run", until=4)
    again, continued = trained(tmp_path / "run")
    assert continued == rows and all(map(torch.equal, whole.parameters(), again.parameters()))
    with pytest.raises(ValueError, match=r"limit=20.*limit=30"):
        list(ppo(CartPole(30), *networks(2), config, seed=2, resume=tmp_path / "run"))


# ---- bad input -------------------------------------------------------------------------------------------------------

REFUSED = {
    "no cart": (lambda: CartPoleBatch(CartPole(), 0), ValueError, "n must be at least 1"),
    "no seed": (lambda: CartPoleBatch(CartPole(), 1, seed=[]), ValueError, "seed is an empty sequence"),
    "seed below 0": (lambda: CartPoleBatch(CartPole(), 1, seed=[0, -1]), ValueError, "seed must be at least 0"),
    "no step": (lambda: CartPoleBatch(CartPole(), 1).collect(Balance(), 0), ValueError, "steps must be at least 1"),
    "limit 0": (lambda: CartPole(0), ValueError, "limit must be at least 1"),
    "three actions": (lambda: train(MLPPolicy(4, 3)), ValueError, r"2 probabilities .* got \(6, 3\)"),
    "other inputs": (lambda: train(MLPPolicy(5, 2)), ValueError, "observations must be"),
    "another trainer": (
        lambda: list(reinforce(CartPole(), *networks(0), ReinforceConfig(), seed=0)),
        TypeError,
        "Maze",
    ),
    "scaled rewards": (lambda: train(networks(0)[0], normalize_rewards=True), ValueError, "rewards of CartPole"),
}


def train(policy, **settings):
    return list(ppo(CartPole(), policy, MLPCritic(4), PPOConfig(**vars(SHORT) | settings), seed=0))


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_refused(case):
    call, error, words = case
    with pytest.raises(error, match=words):
        call()


# ---- it learns -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_poles_are_learned():
    """The settings made for it: of eight seeds, none used to tune them, at least seven reach 475 in 49,152 steps."""
    policy, critic = networks(range(900, 908), (32, 32))
    list(ppo(CartPole(), policy, critic, POLES, seed=range(900, 908)))
    played = CartPoleBatch(CartPole(), 50, seed=range(8)).collect(policy, 500)
    first = played.ended.int().argmax(-1) + 1.0  # the length of each cart's first episode
    assert (first.mean(-1) >= 475).sum() >= 7, first.mean(-1)
    assert POLES.epochs * POLES.iterations * POLES.steps * POLES.robots < CARTPOLE.epochs * 97 * 512 / 5
