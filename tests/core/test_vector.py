"""Experience from vector environments, against a plain loop over single ones, in all three ways of starting anew."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorWrapper
from vector_envs import EPISODES, MODES, Failing, OneState, Script, Target, copies, scripts

from ppo_lesson.maze import Maze, MazeBatch
from ppo_lesson.policies import GaussianPolicy, MLPCritic, MLPPolicy, TabularCritic, TabularPolicy
from ppo_lesson.ppo import PPOConfig, ppo
from ppo_lesson.rollout import Rollout, fixed_steps
from ppo_lesson.vector import VectorBatch, evaluate, vector_steps

NEXT_STEP, SAME_STEP, DISABLED = MODES
FIELDS = ("observations", "rewards", "terminated", "truncated", "next_observations", "episode_returns")
MODE = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)


def join(*rollouts):
    """Rollouts one after the other as one."""
    names = [name for name, x in vars(rollouts[0]).items() if x is not None]
    return Rollout(**{name: torch.cat([getattr(r, name) for r in rollouts], 1) for name in names})


def plain_loop(envs, actions, mode, shift=0):
    """What single environments answer to actions (n, T, ...), in plain Python: a list of columns for each one."""
    table = []
    for env, chosen in zip(envs, actions):
        observation, _ = env.reset(seed=0)
        rows, total, starting = [], 0.0, False
        for action in chosen:
            if starting:  # this column belongs to the reset
                rows.append(None)
                observation, _ = env.reset()
                starting = False
                continue
            arrived, reward, terminated, truncated, _ = env.step(action)
            total += reward
            ended = terminated or truncated
            rows.append((observation, reward, terminated, truncated and not terminated, arrived, ended * total))
            observation = arrived
            if ended:
                total = 0.0
                if mode == NEXT_STEP:
                    starting = True
                else:
                    observation, _ = env.reset()
        table.append([row and (row[0] - shift, *row[1:4], row[4] - shift, row[5]) for row in rows])
    return table


def compare(rollout, table):
    for i, rows in enumerate(table):
        assert rollout.mask[i].tolist() == [row is not None for row in rows]
        for t, row in enumerate(rows):
            for name, expected in zip(FIELDS, row or ()):
                found, rounding = getattr(rollout, name)[i, t].numpy(), 1e-6 if name == "rewards" else 0.0
                assert np.allclose(found, expected, rtol=rounding, atol=0.0), (name, i, t)
            if row is None:
                assert not rollout.terminated[i, t] and not rollout.truncated[i, t]
                assert rollout.episode_returns[i, t] == 0


# ---- step by step ----------------------------------------------------------------------------------------------------


@MODE
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"kind": "ids"},
        {"kind": "ids", "start": 7},
        {"actions": Discrete(3, start=-1)},
        {"actions": Box(-1.0, 1.0, (2,))},
    ],
    ids=str,
)
def test_every_step_is_that_of_single_environments(mode, settings):
    real, continuous = settings.get("kind") != "ids", isinstance(settings.get("actions"), Box)
    if continuous:
        policy = GaussianPolicy(3, 2, hidden=(8,), log_std=-3.0)  # so that nothing is clipped
    else:
        policy = MLPPolicy(3, 3, hidden=(8,)) if real else TabularPolicy(2000, 3)
    critic = MLPCritic(3, hidden=(8,)) if real else TabularCritic(2000)
    if not real:
        critic.table.data = torch.arange(2000.0).double()
    envs = VectorBatch(scripts(mode=mode, **settings), seed=3)
    rollout = join(*[vector_steps(envs, policy, steps, critic) for steps in (7, 1, 22)])  # it goes on where it stood
    start = settings.get("start", 0)
    shift = getattr(settings.get("actions"), "start", 0)
    single = [Script(k, **settings) for k in range(3)]
    compare(rollout, plain_loop(single, rollout.actions.numpy() + shift, mode, start))
    both = rollout.mask & rollout.ended
    assert both.sum() > 20 and rollout.terminated.any() and rollout.truncated.any()
    assert (rollout.mask.sum() < rollout.mask.numel()) == (mode == NEXT_STEP)
    logp = policy(rollout.observations).log_prob(rollout.actions)
    expected = critic(rollout.observations), critic(rollout.next_observations), logp
    for found, x in zip((rollout.values, rollout.next_values, rollout.logp), expected):
        assert torch.allclose(found, x, rtol=1e-5, atol=1e-5)
    if not real:  # trap 15: the value of the true final observation, read from a table in which it is its own number
        _, targets = rollout.gae(0.9, 0.95)
        cut = rollout.truncated
        assert torch.allclose(targets[cut], (rollout.rewards + 0.9 * rollout.next_observations)[cut])
        assert torch.allclose(targets[rollout.terminated], rollout.rewards[rollout.terminated])


def test_the_three_modes_give_the_same_real_steps():
    """The same actions for the same observations: a policy that never hesitates."""
    policy = TabularPolicy(2000, 3)
    policy.logits.data[torch.arange(2000), torch.arange(2000) % 3] = 100.0
    found = []
    for mode in MODES:
        steps = vector_steps(VectorBatch(scripts(mode=mode, kind="ids")), policy, 40)
        found.append(
            [[getattr(steps, f)[i][steps.mask[i]][:20].tolist() for f in (*FIELDS, "actions")] for i in (0, 1, 2)]
        )
    assert found[0] == found[1] == found[2]


def test_arrays_that_the_environment_reuses_do_no_harm():
    for mode in MODES:
        policy = MLPPolicy(3, 3, hidden=(8,))
        envs = VectorBatch(scripts(mode=mode, extra={"copy": False}), seed=3)
        steps = vector_steps(envs, policy, 20)
        compare(steps, plain_loop([Script(k) for k in range(3)], steps.actions.numpy(), mode))


@pytest.mark.parametrize("mode", [NEXT_STEP, SAME_STEP], ids=lambda mode: mode.name)
def test_environments_in_other_processes(mode):
    env = scripts(2, mode, AsyncVectorEnv)
    try:
        steps = vector_steps(VectorBatch(env), MLPPolicy(3, 3, hidden=(8,)), 12)
    finally:
        env.close()
    compare(steps, plain_loop([Script(k) for k in range(2)], steps.actions.numpy(), mode))


def test_gymnasiums_own_vector_of_cart_poles():
    """Its own class, not many single environments: the first observation after an end is a new start."""
    envs = VectorBatch(gymnasium.make_vec("CartPole-v1", num_envs=4, max_episode_steps=12), seed=1)
    steps = vector_steps(envs, MLPPolicy(4, 2), 200)
    ended = steps.ended[:, :-1]
    assert steps.truncated.any() and steps.terminated.any() and steps.mask[:, 0].all()
    assert torch.equal(~steps.mask[:, 1:], ended), "exactly the column after an end is nobody's"
    assert torch.equal(steps.observations[:, 1:][ended], steps.next_observations[:, :-1][ended])
    after = ended[:, :-1]  # two columns later a new episode is under way, near the middle
    assert (steps.observations[:, 2:][after].abs() <= 0.05).all()
    fallen = (steps.next_observations[..., 0].abs() > 2.4) | (steps.next_observations[..., 2].abs() > 0.2094)
    assert torch.equal(fallen & steps.mask, steps.terminated)
    lengths = steps.episode_returns[steps.ended]
    assert lengths.max() == 12 and lengths.min() >= 8 and (steps.rewards[steps.mask] == 1).all()


def test_integers_in_a_box_are_numbers_not_states():
    class Counts(Script):
        def __init__(self):
            super().__init__()
            self.observation_space = Box(-1, 1000, (3,), dtype=np.int64)

        def observe(self):
            return super().observe().astype(np.int64)

    for mode in MODES:
        steps = vector_steps(VectorBatch(copies(Counts, 2, mode)), MLPPolicy(3, 3, hidden=(8,)), 9)
        assert steps.observations.dtype == steps.next_observations.dtype == torch.float32
        compare(steps, plain_loop([Counts(), Counts()], steps.actions.numpy(), mode))


def test_random_numbers_are_the_batchs_own():
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first, other = (VectorBatch(scripts(), seed=seed) for seed in (1, 2))
    policy = MLPPolicy(3, 3)
    actions = vector_steps(first, policy, 30).actions
    assert torch.equal(torch.random.get_rng_state(), before), "the rest of the program draws what it would have drawn"
    assert not torch.equal(actions, vector_steps(other, policy, 30).actions)
    again = VectorBatch(scripts(), seed=1)
    torch.rand(7)
    halves = [vector_steps(again, policy, 15).actions for _ in range(2)]
    assert torch.equal(torch.cat(halves, 1), actions)
    again.restart([1])
    assert torch.equal(vector_steps(again, policy, 30).actions, actions)


def test_a_restart_forgets_episodes_that_were_under_way():
    for mode in MODES:
        envs = VectorBatch(scripts(mode=mode), seed=0)
        for steps in (1, 2, 3, 4, 5):  # also right after an end
            vector_steps(envs, MLPPolicy(3, 3), steps)
            envs.restart([0])
            again = vector_steps(envs, MLPPolicy(3, 3), 12)
            compare(again, plain_loop([Script(k) for k in range(3)], again.actions.numpy(), mode))
            envs.restart([0])


def test_actions_are_limited_on_their_way_and_stored_as_chosen():
    heard = []

    class Spy(Target):
        def step(self, action):
            heard.append(np.array(action))
            return super().step(action)

    steps = vector_steps(VectorBatch(copies(Spy, 2, SAME_STEP)), GaussianPolicy(2, 2, log_std=0.5), 25)
    raw, heard = steps.actions.numpy(), np.stack(heard).reshape(25, 2, 2).swapaxes(0, 1)
    low, high = Target.action_space.low, Target.action_space.high
    assert np.array_equal(heard, np.minimum(np.maximum(raw, low), high)) and heard.dtype == np.float32
    assert ((raw < low).any((0, 1)) & (raw > high).any((0, 1))).all(), "each side of each limit was passed"
    normal = torch.distributions.Normal(*_mean_and_std(steps))
    assert torch.allclose(steps.logp, normal.log_prob(steps.actions).sum(-1), atol=1e-5)


def _mean_and_std(steps):
    policy = GaussianPolicy(2, 2, log_std=0.5)
    return policy.net(steps.observations), policy.log_std.exp()


# ---- the maze by both roads ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [SAME_STEP, DISABLED], ids=lambda mode: mode.name)
def test_the_maze_answers_the_same_by_both_roads(mode):
    maze = Maze(max_steps=11)
    direct = fixed_steps(MazeBatch(maze, 6, seed=4), TabularPolicy(), 60, TabularCritic())
    assert direct.terminated.any() and direct.truncated.any()
    envs = VectorBatch(copies(lambda: Maze(max_steps=11), 6, mode), seed=0)
    for t in range(60):
        assert np.array_equal(envs.observations, direct.observations[:, t])
        column = envs.step(direct.actions[:, t])
        for name, x in column.items():
            assert np.array_equal(x, getattr(direct, name)[:, t]), name


# ---- evaluate --------------------------------------------------------------------------------------------------------


@MODE
def test_each_copy_plays_the_same_number_of_episodes(mode):
    """Copies with short episodes are not counted more often."""
    env = SyncVectorEnv([lambda: OneState(2), lambda: OneState(3), lambda: OneState(30)], autoreset_mode=mode)
    returns = evaluate(env, TabularPolicy(1, 2), episodes=9, seed=0)
    assert returns.tolist() == [2, 2, 2, 3, 3, 3, 30, 30, 30]


@MODE
def test_returns_are_plain_sums_of_whole_episodes(mode):
    for k, each in ((0, 6), (1, 6), (0, 2), (1, 2)):  # the first ones, also of a copy that has played more
        returns = evaluate(scripts(2, mode, kind="ids"), _always(2), episodes=2 * each, seed=0).view(2, each)
        lengths = [length for length, _ in EPISODES[k:] + EPISODES[:k]][:each]
        assert returns[k].tolist() == [sum(1.5 + 10 * k + t for t in range(1, n + 1)) for n in lengths]


def _always(action):
    policy = TabularPolicy(2000, 3)
    policy.logits.data[:, action] = 100.0
    return policy


def test_greedy_takes_the_mode_and_the_policy_stays_what_it_is():
    policy = TabularPolicy(2000, 3)
    policy.logits.data[:, 2] = 0.1
    greedy = [evaluate(scripts(2, kind="ids"), policy, episodes=12, seed=s, greedy=True) for s in (0, 1)]
    assert torch.equal(*greedy)
    assert torch.equal(greedy[0], evaluate(scripts(2, kind="ids"), _always(2), episodes=12, seed=0))
    drawn = [evaluate(scripts(2, kind="ids"), policy, episodes=12, seed=s) for s in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    gaussian = GaussianPolicy(2, 2, standardize=True)
    before = {name: x.clone() for name, x in gaussian.state_dict().items()}
    greedy = evaluate(copies(Target, 4), gaussian, episodes=8, seed=0, greedy=True)
    assert greedy.mean() > evaluate(copies(Target, 4), gaussian, episodes=8, seed=0).mean() + 1
    assert all(torch.equal(x, before[name]) for name, x in gaussian.state_dict().items())


@pytest.mark.parametrize(("episodes", "words"), [(7, "multiple of the 2 environments; got 7"), (0, "at least 1")])
def test_a_number_of_episodes_that_cannot_be_shared_out(episodes, words):
    with pytest.raises(ValueError, match=words):
        evaluate(scripts(2), MLPPolicy(3, 3), episodes=episodes, seed=0)


# ---- bad input -------------------------------------------------------------------------------------------------------


class WithoutMode(VectorWrapper):
    metadata = {}  # noqa: RUF012


class WithoutFinal(VectorWrapper):
    def step(self, actions):
        *answer, info = self.env.step(actions)
        return *answer, {name: x for name, x in info.items() if name != "final_obs"}


def one_row(env, policy=None, critic=None, seed=0, **settings):
    policy, critic = policy or MLPPolicy(3, 3, hidden=(8,)), critic or MLPCritic(3, hidden=(8,))
    return next(
        ppo(env, policy, critic, PPOConfig(**{"steps": 8, "lr": 1e-3, "critic_lr": 1e-3} | settings), seed=seed)
    )


BAD = {  # what is done: (call, error, words of the message)
    "no vector": (lambda: one_row(Script()), TypeError, "vector environment.*make_vec.*SyncVectorEnv.*got Script"),
    "no environment": (lambda: one_row("CartPole-v1"), TypeError, "vector environment.*got str"),
    "Dict": (
        lambda: one_row(_vector_with(Dict(a=Discrete(2)), Discrete(2))),
        TypeError,
        "observations must be Box or Discrete; got Dict.*FlattenObservation",
    ),
    "MultiDiscrete": (
        lambda: one_row(_vector_with(Box(0, 1, (2,)), MultiDiscrete([2, 2]))),
        TypeError,
        "actions must be Discrete, or Box with one axis; got MultiDiscrete",
    ),
    "actions like a picture": (
        lambda: one_row(_vector_with(Box(0, 1, (2,)), Box(0, 1, (2, 2)))),
        TypeError,
        "actions must be Discrete, or Box with one axis; got Box",
    ),
    "many seeds": (lambda: one_row(scripts(), seed=range(2)), TypeError, r"one policy: seed must be an int; got range"),
    "seed True": (lambda: one_row(scripts(), seed=True), ValueError, "seed must be a whole number"),
    "seed -1": (lambda: one_row(scripts(), seed=-1), ValueError, "seed must be at least 0"),
    "no mode": (
        lambda: one_row(WithoutMode(scripts())),
        ValueError,
        "'autoreset_mode'.* must be an AutoresetMode.*got None",
    ),
    "no final_obs": (
        lambda: one_row(WithoutFinal(scripts(mode=SAME_STEP))),
        ValueError,
        "SAME_STEP, but info has no 'final_obs'",
    ),
    "rewards of the maze": (
        lambda: one_row(Maze(), TabularPolicy(), TabularCritic(), normalize_rewards=True),
        ValueError,
        "normalize_rewards is for vector environments",
    ),
    "wrong inputs": (
        lambda: one_row(scripts(), MLPPolicy(5, 3)),
        ValueError,
        r"observations must be \(..., 5\).* got \(3, 3\)",
    ),
    "critic with wrong inputs": (
        lambda: one_row(scripts(), critic=MLPCritic(5)),
        ValueError,
        r"observations must be \(..., 5\)",
    ),
    "a table for real numbers": (
        lambda: one_row(scripts(), TabularPolicy(9, 3)),
        ValueError,
        "observations must be state ids",
    ),
    "too small a table": (
        lambda: one_row(scripts(kind="ids"), TabularPolicy(9, 3)),
        ValueError,
        "state ids from 0 to 8.*; got 0 to 600",
    ),
    "too many actions": (
        lambda: one_row(scripts(), MLPPolicy(3, 4)),
        ValueError,
        r"actions of Discrete\(3\).*3 environments.*Categorical",
    ),
    "too few actions": (lambda: one_row(scripts(), MLPPolicy(3, 2)), ValueError, r"the actions of Discrete\(3\)"),
    "real numbers for a choice": (
        lambda: one_row(scripts(), GaussianPolicy(3, 1)),
        ValueError,
        r"actions of Discrete\(3\).*Independent.*float32",
    ),
    "a choice for real numbers": (
        lambda: one_row(copies(Target, 2), MLPPolicy(2, 2)),
        ValueError,
        r"actions of Box\(.*got Categorical.*int64 \(2,\)",
    ),
    "one number for two": (
        lambda: one_row(copies(Target, 2), GaussianPolicy(2, 1)),
        ValueError,
        r"actions of Box\(.*float32 \(2, 1\)",
    ),
    "ids have no spread": (
        lambda: one_row(copies(Maze, 2), MLPPolicy(standardize=True), TabularCritic()),
        ValueError,
        "standardize is for observations that are real numbers",
    ),
    "ids of squares have no spread": (
        lambda: one_row(Maze(), MLPPolicy(standardize=True), TabularCritic()),
        ValueError,
        "standardize is for",
    ),
    "an empty mini-batch": (lambda: one_row(scripts(), minibatches=25), ValueError, "minibatches .* at most 24"),
    "a file without a rhythm": (
        lambda: next(ppo(scripts(), MLPPolicy(3, 3), MLPCritic(3), PPOConfig(), seed=0, resume="x")),
        ValueError,
        r"resume needs PPOConfig\(checkpoint_every=...\)",
    ),
    "checkpoints all the time": (lambda: one_row(scripts(), checkpoint_every=0), ValueError, "checkpoint_every must"),
}


def _vector_with(observations, actions):
    class Empty(gymnasium.vector.VectorEnv):
        num_envs, single_observation_space, single_action_space = 2, observations, actions
        metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    return Empty()


@pytest.mark.parametrize(("call", "error", "words"), BAD.values(), ids=BAD.keys())
def test_the_message_names_what_is_wrong(call, error, words):
    with pytest.raises(error, match=words):
        call()


@pytest.mark.parametrize("what", ["raise", "reward", "observation", "final"])
@MODE
def test_an_environment_that_fails_is_named_with_what_it_did(mode, what):
    at = 6 if what == "observation" else 5  # its fifth step ends an episode, its sixth is in the middle of one
    made = [lambda: Script(0), lambda: Failing(Script(1), at, what), lambda: Script(2)]
    run = ppo(
        SyncVectorEnv(made, autoreset_mode=mode), MLPPolicy(3, 3), MLPCritic(3), PPOConfig(steps=2, lr=1e-3), seed=0
    )
    if what == "raise":
        with pytest.raises(RuntimeError, match=r"the environment failed in step\(\): ZeroDivisionError") as caught:
            list(run)
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
    else:
        name = {"reward": "rewards: inf"}.get(what, "observations: nan")
        if what == "final" and mode == SAME_STEP:
            name = "final_obs: nan"
        place = "" if what == "reward" else r" at \[2\]"
        with pytest.raises(ValueError, match=f"non-finite {name} in environment 1{place}") as caught:
            list(run)
    note = caught.value.__notes__[0]
    iteration = 2 if mode != NEXT_STEP else 4 if what == "observation" else 3  # columns that only reset count too
    assert f"in iteration {iteration} of seed 0. The run is not saved; name a file with resume=" in note


def test_a_reset_that_fails_is_named_too():
    class Stuck(Script):
        def reset(self, *, seed=None, options=None):
            if seed is None:
                raise OSError("no new episode")
            return super().reset(seed=seed)

    with pytest.raises(RuntimeError, match=r"failed in (step|reset)\(\): OSError\('no new episode'\)"):
        one_row(copies(Stuck, 2, DISABLED))
