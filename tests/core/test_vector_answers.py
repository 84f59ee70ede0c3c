"""What a hand-written environment answers: flags and rewards of every kind that can be meant, and those that cannot."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode
from vector_envs import KINDS, MODES, Answering, Target, copies

from ppo_lesson.policies import GaussianPolicy, MLPCritic, MLPPolicy, TabularCritic, TabularPolicy
from ppo_lesson.ppo import PPOConfig, ppo
from ppo_lesson.vector import VectorBatch, evaluate, vector_steps

NEXT_STEP, SAME_STEP, DISABLED = MODES
MODE = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)


def networks():
    return MLPPolicy(1, 2, hidden=(8,)), MLPCritic(1, hidden=(8,))


def steps_of(env, steps=17):
    policy, critic = networks()
    return vector_steps(VectorBatch(env), policy, steps, critic)


@MODE
@pytest.mark.parametrize("kind", KINDS)
def test_flags_of_every_kind_say_what_bools_say(mode, kind):
    """0/1 integers once made masks of 255 and 254: rewards were multiplied, and no step was masked."""
    right = steps_of(Answering(mode))
    found = steps_of(Answering(mode, terminated=KINDS[kind], truncated=KINDS[kind]))
    assert found.mask.dtype == found.terminated.dtype == found.truncated.dtype == torch.bool
    assert right.terminated.any() and right.truncated.any() and (mode != NEXT_STEP) == bool(right.mask.all())
    for name, x in vars(right).items():
        assert torch.equal(getattr(found, name), x), name


@MODE
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "torch bool"])
def test_rewards_of_every_kind_are_numbers(mode, kind):
    assert torch.equal(steps_of(Answering(mode, rewards=KINDS[kind])).rewards, steps_of(Answering(mode)).rewards)


@MODE
def test_evaluation_reads_them_the_same_way(mode):
    for change in ({}, dict.fromkeys(("terminated", "truncated", "rewards"), KINDS["uint8"])):
        returns = evaluate(Answering(mode, **change), networks()[0], episodes=4, seed=0)
        assert returns.tolist() == [3, 3, 10, 10], change


def test_a_run_with_integer_flags_tells_the_returns_of_one_with_bools():
    config = PPOConfig(iterations=3, steps=16, lr=1e-3, critic_lr=1e-3)
    flags = dict.fromkeys(("terminated", "truncated"), KINDS["uint8"])
    runs = [list(ppo(Answering(**change), *networks(), config, seed=0)) for change in ({}, flags)]
    assert runs[0] == runs[1] and 3 <= runs[0][0]["return_mean"] <= 10


def put(value, dtype=None):
    """An answer whose second entry is `value`."""

    def change(x):
        x = np.array(x, dtype=dtype or type(value))
        x[1] = value
        return x

    return change


FLAG = {  # what is answered, and what the message says
    "(n, 1)": (lambda x: x[:, None], r"of shape \(2, 1\); they must have shape \(2,\).*Return {name}\[..., 0\]"),
    "()": (lambda x: x.any(), r"of shape \(\); they must have shape \(2,\), one entry for each environment"),
    "(n + 1,)": (lambda x: [*x, False], r"of shape \(3,\); they must have shape \(2,\)"),
    "2": (put(2), "= 2 in environment 1; it must be True or False, or 1 or 0"),
    "-1": (put(-1), "= -1 in environment 1; it must be True or False"),
    "a half": (put(0.5), "= 0.5 in environment 1; it must be True or False"),
    "NaN": (put(float("nan")), "non-finite {name}: nan in environment 1"),
    "complex": (lambda x: x.astype(complex), "of dtype complex128; they must be real numbers"),
    "None": (lambda x: [None, None], "of dtype object; they must be real numbers"),
    "words": (lambda x: ["no", "yes"], "of dtype <U3; they must be real numbers"),
    "ragged": (lambda x: [False, [True]], "that make no array"),
}


@MODE
@pytest.mark.parametrize("name", ["terminated", "truncated"])
@pytest.mark.parametrize("case", FLAG)
def test_flags_that_could_mean_anything_are_refused(mode, name, case):
    change, words = FLAG[case]
    for read in (steps_of, lambda env: evaluate(env, networks()[0], episodes=2, seed=0)):
        with pytest.raises(ValueError, match=words.format(name=name)) as caught:
            read(Answering(mode, **{name: change}))
        assert name in str(caught.value) and "environment" in str(caught.value)


@MODE
@pytest.mark.parametrize("case", ["(n, 1)", "()", "(n + 1,)", "NaN", "complex", "None", "words", "ragged"])
def test_rewards_that_fit_nobody_are_refused(mode, case):
    change, words = FLAG[case]
    with pytest.raises(ValueError, match=words.format(name="rewards")):
        steps_of(Answering(mode, rewards=change))


def test_a_single_environment_that_pays_an_array_is_refused_with_a_remedy():
    class Array(Target):
        def step(self, action):
            observation, reward, *rest = super().step(action)
            return observation, np.array([reward]), *rest

    env = gymnasium.vector.AsyncVectorEnv([Array] * 2)
    try:
        with pytest.raises(
            ValueError,
            match=r"rewards of shape \(2, 1\).*Return rewards\[..., 0\]; of a single environment, a plain number",
        ):
            vector_steps(VectorBatch(env), GaussianPolicy(2, 2), 3)
    finally:
        env.close()


OBSERVED = {
    "shape": (lambda x: x[:, 0], r"observations of shape \(2,\); they must have shape \(2, 1\)"),
    "one more axis": (lambda x: x[..., None], r"shape \(2, 1, 1\).*Return observations\[..., 0\]"),
    "complex": (lambda x: x.astype(complex), "observations of dtype complex128"),
    "None": (lambda x: [[None], [None]], "observations of dtype object"),
}


@pytest.mark.parametrize(("change", "words"), OBSERVED.values(), ids=OBSERVED)
def test_observations_of_another_shape_or_kind_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        steps_of(Answering(observations=change))


def test_final_observations_are_looked_at_too():
    with pytest.raises(ValueError, match=r"step\(\) gave final_obs that make no array.*shape \(2, 1\)"):
        steps_of(Answering(SAME_STEP, info=lambda info: {"final_obs": [0.0, 0.0]} if info else info))
    with pytest.raises(ValueError, match=r"final_obs of dtype object"):
        steps_of(Answering(SAME_STEP, info=lambda info: {"final_obs": [[None]] * 2} if info else info))


def test_observations_of_torch_are_taken_and_ids_between_two_states_are_not():
    right = steps_of(Answering()).observations
    assert torch.equal(steps_of(Answering(observations=torch.from_numpy)).observations, right)
    policy, critic = TabularPolicy(9, 2), TabularCritic(9)
    whole = vector_steps(VectorBatch(Answering(ids=True, observations=lambda x: x.astype(float))), policy, 9, critic)
    assert whole.observations.dtype == torch.int64 and whole.observations[0, :4].tolist() == [0, 1, 2, 3]
    with pytest.raises(ValueError, match=r"reset\(\) gave observations = 0.5 in environment 0; Discrete\(9\)"):
        VectorBatch(Answering(ids=True, observations=lambda x: x + 0.5))


def test_an_environment_of_the_old_gym_is_named():
    class Old(Answering):
        def step(self, actions):
            observations, rewards, terminated, truncated, info = super().step(actions)
            return observations, rewards, terminated | truncated, info

    with pytest.raises(ValueError, match=r"step\(\) must return \(observations, .*, info\).*got 4 things"):
        steps_of(Old())

    class Older(Answering):
        def reset(self, **arguments):
            return super().reset(**arguments)[0]

    with pytest.raises(ValueError, match=r"reset\(\) must return \(observations, info\).*got ndarray"):
        steps_of(Older())


@pytest.mark.parametrize("space", [Discrete(3, start=2, dtype=np.int32), Discrete(3, dtype=np.uint8), Discrete(3)])
def test_actions_have_the_type_of_their_space(space):
    heard = []

    class Asking(Target):
        action_space = space

        def step(self, action):
            assert self.action_space.contains(action), (action, action.dtype)
            heard.append(action)
            self.time += 1
            return self._show(), 0.0, False, self.time == 10, {}

    vector_steps(VectorBatch(copies(Asking, 2, AutoresetMode.NEXT_STEP)), MLPPolicy(2, 3), 30)
    assert {a.dtype for a in heard} == {space.dtype} and {int(a) for a in heard} == {
        int(space.start) + i for i in range(3)
    }


class Precise(Target):
    """Shows float64, as every environment of MuJoCo does."""

    observation_space = Box(-100, 100, (2,), dtype=np.float64)

    def _show(self):
        return super()._show().astype(np.float64)


class OwnPolicy(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Linear(2, 2)

    def forward(self, x):
        normal = torch.distributions.Normal(self.net(x), 1.0)
        return torch.distributions.Independent(normal, 1)


class OwnCritic(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Linear(2, 1)

    def forward(self, x):
        return self.net(x)[..., 0]


@MODE
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_observations_come_in_the_dtype_that_the_networks_compute_in(mode, dtype):
    policy, critic = OwnPolicy().to(dtype), OwnCritic().to(dtype)
    for kind in (Precise, Target):
        env = copies(kind, 3, mode)
        rows = list(ppo(env, policy, critic, PPOConfig(iterations=2, steps=12, lr=1e-3), seed=0))
        assert len(rows) == 2 and {p.dtype for p in policy.parameters()} == {dtype}
        steps = vector_steps(VectorBatch(env), policy, 12, critic)
        assert steps.observations.dtype == steps.next_observations.dtype == steps.rewards.dtype == dtype
        assert len(evaluate(env, policy, episodes=3, seed=0)) == 3
