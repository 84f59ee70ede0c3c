"""A run that goes on is the same run: what is refused where names alone would not tell, and what goes on."""

import functools

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import ClipReward, TimeLimit, TransformReward, vector

from ppo_lesson.policies import GaussianPolicy, MLPCritic, MLPPolicy
from ppo_lesson.ppo import PPOConfig, ppo

SAVED = PPOConfig(iterations=4, steps=16, lr=1e-3, critic_lr=1e-3, checkpoint_every=2)


def go(env, path, count=99, config=SAVED):
    box = isinstance(env.single_action_space, Box)
    inputs = env.single_observation_space.shape[0]
    policy = GaussianPolicy(inputs, 1, hidden=(4,)) if box else MLPPolicy(inputs, 2, hidden=(4,))
    run = ppo(env, policy, MLPCritic(inputs, hidden=(4,)), config, seed=0, resume=path)
    rows = [row for _, row in zip(range(count), run)]
    run.close()
    return rows


class Walk(gymnasium.Env):
    """Five steps; each pays what a table says of its action."""

    observation_space, action_space = Box(-99, 99, (2,)), Discrete(2)

    def __init__(self, limit=5, pays=(1.0, 0.0), drift=1.0):
        self.limit, self.pays, self.drift = limit, pays, drift

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time, self.at = 0, self.np_random.uniform(size=2)
        return self.at.astype(np.float32), {}

    def step(self, action):
        self.time += 1
        self.at = self.at + self.drift * (2 * action - 1)
        return self.at.astype(np.float32), float(self.pays[action]), False, self.time == self.limit, {}


class Hand(gymnasium.vector.VectorEnv):
    """A vector environment written by hand: no spec, no copies to ask."""

    def __init__(self, prize=1.0, luck=None):
        self.num_envs, self.prize, self.luck = 2, prize, luck
        self.single_observation_space, self.single_action_space = Walk.observation_space, Walk.action_space
        self.metadata = {"autoreset_mode": AutoresetMode.DISABLED}

    def reset(self, *, seed=None, options=None):
        self.time = np.zeros(2)
        return np.zeros((2, 2), dtype=np.float32), {}

    def step(self, actions):
        self.time += 1
        rewards = self.prize * actions + (self.luck.normal(size=2) if self.luck else 0)
        return np.zeros((2, 2), dtype=np.float32), rewards, self.time % 4 == 0, np.zeros(2, dtype=bool), {}


def copies(*makes):
    return SyncVectorEnv(list(makes))


def walks(wrap=lambda env: env, **given):
    return copies(*[lambda: wrap(Walk(**given))] * 2)


def carts(wrap=lambda env: env):
    return wrap(gymnasium.make_vec("CartPole-v1", num_envs=2))


def lake(desc):
    one = lambda: gymnasium.wrappers.TransformObservation(  # noqa: E731
        gymnasium.make("FrozenLake-v1", desc=desc), lambda i: np.float32([i]), Box(0, 16, (1,))
    )
    return copies(*[lambda: gymnasium.wrappers.TransformAction(one(), int, Discrete(2))] * 2)


def late(*limits):
    return walks(lambda env: functools.reduce(TimeLimit, limits, env), limit=999)


def patched():
    env = carts(lambda _: copies(*[lambda: gymnasium.make("CartPole-v1")] * 2))
    for one in env.envs:
        one.unwrapped.gravity = 1.0
    return env


OTHERS = {  # two environments behind the same spaces and names
    "rewards clipped around all": (carts, lambda: carts(lambda env: vector.ClipReward(env, 0, 0.5))),
    "another function around all": (
        lambda: carts(lambda env: vector.TransformReward(env, lambda r: r)),
        lambda: carts(lambda env: vector.TransformReward(env, lambda r: -r)),
    ),
    "a wrapper around lambdas": (walks, lambda: vector.TransformReward(walks(), lambda r: 2 * r)),
    "another function in each": (
        lambda: walks(lambda env: TransformReward(env, lambda r: r)),
        lambda: walks(lambda env: TransformReward(env, lambda r: 2 * r)),
    ),
    "another argument of a wrapper": (
        lambda: walks(lambda env: ClipReward(env, 0, 1)),
        lambda: walks(lambda env: ClipReward(env, 0, 0.5)),
    ),
    "a limit later than the try": (lambda: late(30), lambda: late(40)),
    "a limit inside of another": (lambda: late(30, 99), lambda: late(40, 99)),
    "another table": (walks, lambda: walks(pays=[0.0, 1.0])),
    "a table as an array": (lambda: walks(pays=np.array([1.0, 0.0])), lambda: walks(pays=np.array([1.0, 0.5]))),
    "the second copy": (lambda: copies(Walk, Walk), lambda: copies(Walk, functools.partial(Walk, drift=2.0))),
    "the order of copies": (
        lambda: copies(Walk, functools.partial(Walk, pays=(1.0, 0.5))),
        lambda: copies(functools.partial(Walk, pays=(1.0, 0.5)), Walk),
    ),
    "written by hand": (Hand, lambda: Hand(prize=2.0)),
    "changed after it was made": (lambda: copies(*[lambda: gymnasium.make("CartPole-v1")] * 2), patched),
    "another map": (lambda: lake(["SF", "FG"]), lambda: lake(["SF", "HG"])),
}


@pytest.mark.parametrize(("first", "second"), OTHERS.values(), ids=OTHERS)
def test_another_environment_is_refused_though_its_names_are_the_same(first, second, tmp_path):
    before = go(first(), tmp_path / "run", 3)
    with pytest.raises(ValueError, match=r"holds another run: env was .*, is now ") as caught:
        go(second(), tmp_path / "run")
    assert str(caught.value).count(" was ") == 1, "and nothing else"
    assert go(first(), tmp_path / "run")[:2] == before[:2], "the file is whole, and goes on with its own"


@pytest.mark.parametrize("make", [walks, carts, Hand, lambda: copies(Walk, functools.partial(Walk, drift=2.0))])
def test_the_same_one_goes_on_bit_by_bit_and_the_try_changes_no_number(make, tmp_path):
    whole = go(make(), None)
    assert go(make(), tmp_path / "whole") == whole
    go(make(), tmp_path / "run", 3)
    assert go(make(), tmp_path / "run") == whole
    env = make()
    go(env, tmp_path / "again", 3)
    assert go(env, tmp_path / "again") == whole, "the very object goes on, too"


def test_luck_that_no_seed_reaches_is_refused_before_the_first_step(tmp_path):
    """Rewards with noise of their own: no second run could be the first, and nothing is lost yet."""
    with pytest.raises(ValueError, match=r"resume: after reset\(seed\) and the same actions .* numbers of its own"):
        go(Hand(luck=np.random.default_rng(0)), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert len(go(Hand(luck=np.random.default_rng(0)), None)) == 4, "without a file nothing is promised"


class Harder(Walk):
    """Pays less from its twentieth episode on, whatever reset(seed) says: a curriculum."""

    episodes = 0

    def reset(self, *, seed=None, options=None):
        self.episodes += 1
        return super().reset(seed=seed)

    def step(self, action):
        observation, reward, *rest = super().step(action)
        return observation, reward / (1 + (self.episodes > 20)), *rest


def test_a_curriculum_is_found_at_the_first_checkpoint_after_it_moved(tmp_path):
    with pytest.raises(ValueError, match="remembers earlier episodes") as caught:
        go(copies(Harder, Harder), tmp_path / "run", config=PPOConfig(iterations=9, steps=16, checkpoint_every=4))
    assert "in iteration 4" in caught.value.__notes__[0]


@pytest.mark.parametrize("space", [Box(-1, 1, (1,)), Box(-1, 1, (1,), np.float64), Box(-3, 3, (1,), np.int32)], ids=str)
def test_environments_with_numbers_for_actions_are_tried_too(space, tmp_path):
    class Push(Walk):
        action_space = space

        def step(self, action):
            assert space.contains(action)
            self.time += 1
            return self.at.astype(np.float32), float(self.pays[0] * action[0]), False, self.time == 5, {}

    go(copies(Push, Push), tmp_path / "run", 3)
    with pytest.raises(ValueError, match=r"env was .*, is now "):
        go(copies(*[functools.partial(Push, pays=(3.0, 0.0))] * 2), tmp_path / "run")
    assert len(go(copies(Push, Push), tmp_path / "run")) == 4
