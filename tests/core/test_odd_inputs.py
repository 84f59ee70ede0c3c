"""Inputs of few bits, no entries, no axes, no seeds and no file: the right number, or an error by name."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from gymnasium.wrappers import TimeLimit
from vector_envs import MODES, OneState, copies

from ppo_lesson.diagnose import diagnose, report
from ppo_lesson.kl import PaperKL
from ppo_lesson.maze import Maze, exact_policy_gradient
from ppo_lesson.normalize import Moments, RewardScale, Standardize
from ppo_lesson.objectives import aggregate, explained_variance
from ppo_lesson.policies import GaussianPolicy, MLPCritic, MLPPolicy, TabularCritic, TabularPolicy
from ppo_lesson.ppo import PPOConfig, ppo
from ppo_lesson.reinforce import ReinforceConfig, reinforce
from ppo_lesson.returns import whiten
from ppo_lesson.trpo import TRPOConfig, trpo
from ppo_lesson.vector import VectorBatch, evaluate


class Counter(gymnasium.Env):
    """Shows how many steps it took, always in the same array, and is cut off after three."""

    observation_space, action_space = Box(0, 9, (1,)), Discrete(2)

    def __init__(self):
        self.shown = np.zeros(1, np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.shown[:] = 0
        return self.shown, {}

    def step(self, action):
        self.shown += 1
        return self.shown, 1.0, False, bool(self.shown[0] == 3), {}


class Lagging(gymnasium.vector.VectorEnv):
    """Two clocks in one array, written by hand; `copy` of what it hands out."""

    num_envs, single_observation_space, single_action_space = 2, Box(0, 9, (1,)), Discrete(2)

    def __init__(self, mode, copy=lambda x: x):
        self.metadata, self.shown, self.copy = {"autoreset_mode": mode}, np.zeros((2, 1), np.float32), copy

    def reset(self, *, seed=None, options=None):
        self.shown[(options or {}).get("reset_mask", slice(None))] = 0
        return self.shown, {}

    def step(self, actions):
        same = self.metadata["autoreset_mode"].name == "SAME_STEP"
        self.shown[:] = np.where(self.shown == 3, 0, self.shown + 1)
        ended, info = self.shown[:, 0] == 3, {"final_obs": list(self.copy(self.shown))}
        self.shown[ended & same] = 0
        return self.shown, np.ones(2), np.zeros(2, bool), ended, info


HANDED_OUT = {
    "in this process": lambda mode: copies(Counter, 2, mode),
    "in others": lambda mode: AsyncVectorEnv([Counter] * 2, autoreset_mode=mode),
    "in others without shared memory": lambda mode: AsyncVectorEnv(
        [Counter] * 2, autoreset_mode=mode, shared_memory=False
    ),
    "written by hand": Lagging,
}


@pytest.mark.parametrize("make", HANDED_OUT.values(), ids=HANDED_OUT)
@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_a_final_observation_that_the_next_episode_was_written_over_is_none(mode, make):
    """The copies are reset before anybody sees info: V(s') of a cut-off episode was that of a start."""
    envs = VectorBatch(make(mode), seed=0)
    if mode.name == "SAME_STEP":
        with pytest.raises(ValueError, match=r"SAME_STEP.*one array again and again.*copy"):
            envs.collect(MLPPolicy(1, 2), 4)
        return
    rollout = envs.collect(MLPPolicy(1, 2), 4)
    assert rollout.next_observations[rollout.truncated].flatten().tolist() == [3.0, 3.0]


@pytest.mark.parametrize("vector", [SyncVectorEnv, AsyncVectorEnv])
def test_an_end_that_looks_like_a_start_is_asked_once_whether_it_was_written_over(vector):
    """By chance, and of a state that never changes always, the two are equal: one copy of each tells."""
    made = []
    one = lambda: made.append(1) or OneState()  # noqa: E731
    envs = VectorBatch(vector([one] * 2, autoreset_mode=MODES[1]), seed=0)
    before = len(made)
    rollout = envs.collect(TabularPolicy(1, 2), 11)
    assert rollout.truncated.sum() == 4 and len(made) == before + 2
    by_hand = VectorBatch(Lagging(MODES[1], np.copy), seed=0).collect(MLPPolicy(1, 2), 4)
    assert by_hand.next_observations[by_hand.truncated].flatten().tolist() == [3.0, 3.0]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32], ids=str)
def test_ids_of_few_bits_read_their_own_row(dtype):
    """State 100's row begins at 400, a uint8 at 144: another state's log-probability."""
    policy, critic, seeds = TabularPolicy(120, 4), TabularCritic(120), TabularCritic(60, seeds=(3,))
    with torch.no_grad():
        policy.logits.copy_(torch.arange(480.0).view(120, 4).sqrt())
        critic.table.copy_(torch.arange(120.0))
        seeds.table.copy_(torch.arange(180.0).view(3, 60))
    few, many, actions = torch.tensor([100], dtype=dtype), torch.tensor([100]), torch.tensor([1])
    for ask in (
        lambda x: policy(x).log_prob(actions),
        lambda x: policy(x).log_prob(actions.to(x)),
        lambda x: policy(x).logits,
        lambda x: policy(x).entropy(),
        critic,
    ):
        assert torch.equal(ask(few), ask(many))
    assert seeds(torch.full((3, 1), 50, dtype=dtype)).flatten().tolist() == [50, 110, 170]


@pytest.mark.parametrize(
    "observations", [torch.tensor([True, False]), torch.tensor([1 + 1j, 0])], ids=["bool", "complex"]
)
def test_flags_and_complex_numbers_are_no_ids(observations):
    """Flags chose rows as a mask does."""
    for network in (TabularPolicy(), TabularCritic(), MLPPolicy(), MLPCritic()):
        with pytest.raises(ValueError, match="state ids"):
            network(observations)


def test_no_imaginary_part_is_dropped():
    x = torch.zeros(2, 4) + 1j
    for call in (lambda: GaussianPolicy(4, 2)(x), lambda: MLPCritic(4).net(x)):
        with pytest.raises(ValueError, match="observations must hold real numbers"):
            call()
    with pytest.raises(ValueError, match="logits must hold real numbers"):
        exact_policy_gradient(torch.zeros(16, 4) + 1j, 0.99)


@pytest.mark.parametrize("width", [0, -1, 3.5, True, "4", None, (4,)], ids=repr)
def test_a_layer_has_at_least_one_unit(width):
    for make in (
        lambda: MLPPolicy(hidden=[width]),
        lambda: MLPPolicy(hidden=width) if width != (4,) else MLPPolicy(hidden=[width]),
        lambda: MLPCritic(4, hidden=(8, width)),
        lambda: GaussianPolicy(4, 2, hidden=(width, 8)),
    ):
        with pytest.raises(ValueError, match="a layer's width must be"):
            make()
    with pytest.raises(ValueError, match="a layer's width must be at least 1; got 0"):
        MLPPolicy(4, 0)


def test_one_number_is_one_hidden_layer():
    one, same = MLPPolicy(hidden=64, seed=3), MLPPolicy(hidden=(64,), seed=3)
    assert [*map(tuple, (w.shape for w in one.net.weights))] == [(16, 64), (64, 4)]
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))


@pytest.mark.parametrize(
    "path", [True, False, 3, 0, 1.5, b"run", "", "file://run", "s3://bucket/run", ["run"]], ids=repr
)
def test_what_names_no_file_here_is_no_checkpoint(path, tmp_path, monkeypatch):
    """Of "file://run" a folder "file:" was made."""
    monkeypatch.chdir(tmp_path)
    config = PPOConfig(iterations=1, checkpoint_every=1)
    with pytest.raises(TypeError, match="resume must be None or the path of a file"):
        next(ppo(Maze(), TabularPolicy(), TabularCritic(), config, seed=0, resume=path))
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("action", [True, False, np.True_, torch.tensor(True)], ids=repr)
def test_a_flag_is_no_direction(action):
    maze = Maze()
    maze.reset(seed=0)
    with pytest.raises(ValueError, match="action must be 0"):
        maze.step(action)


@pytest.mark.parametrize("shape", [(3,), (2, 1), (1,)], ids=repr)
def test_a_kl_of_other_seeds_moves_no_beta(shape):
    """(2,) beside (2, 1) made (2, 2)."""
    with pytest.raises(ValueError, match="beta must be a number, or one for each result"):
        PaperKL(torch.ones(2), 0.01).update(torch.ones(shape))
    assert PaperKL(1.0, 0.01).update(torch.ones(3)).tolist() == [2.0] * 3


@pytest.mark.parametrize("kl", [torch.tensor([True, False]), torch.tensor([0, 1]), torch.tensor([True])], ids=repr)
def test_flags_and_whole_numbers_are_no_kl(kl):
    """Half of a beta, as a whole number, was 0 for ever."""
    with pytest.raises(ValueError, match="kl_from_old must be a finite number"):
        PaperKL(1.0, 0.01).update(kl)


@pytest.mark.parametrize("limit", [-1.0, 0, True, float("nan"), "10", None], ids=repr)
def test_a_limit_below_0_limits_nothing(limit):
    """Between 1 and -1 every number was -1."""
    for make in (lambda: RewardScale(0.9, limit=limit), lambda: Standardize(3, limit=limit)):
        with pytest.raises(ValueError, match="limit must be positive"):
            make()
    assert Standardize(1, limit=float("inf"))(torch.tensor([1e9])).item() > 9e8


@pytest.mark.parametrize("size", [0, -1, 4.0, True, "4", None], ids=repr)
def test_a_table_has_whole_sizes(size):
    """seeds=(True,) was one seed, seeds=(0,) none."""
    for make in (
        lambda: TabularPolicy(size),
        lambda: TabularPolicy(16, size),
        lambda: TabularPolicy(seeds=(2, size)),
        lambda: TabularCritic(size),
        lambda: TabularCritic(seeds=(size,)),
    ):
        with pytest.raises(ValueError, match="a table's size must be"):
            make()


@pytest.mark.parametrize(
    "actions", [torch.tensor([True]), torch.tensor([1.0]), torch.tensor([4]), torch.tensor([-1])], ids=repr
)
def test_flags_and_real_numbers_are_no_actions_of_a_table(actions):
    with pytest.raises(ValueError, match="actions must be whole numbers from 0 to 3"):
        TabularPolicy()(torch.tensor([0])).log_prob(actions)


def test_nothing_seen_changes_no_statistics():
    """The mean of nothing is NaN, and stayed in every later one."""
    moments, scale = Moments(3), RewardScale(0.9)
    with pytest.raises(ValueError, match="x is empty"):
        moments.update(torch.zeros(0, 3))
    none = torch.zeros(2, 3, dtype=torch.bool)
    with pytest.raises(ValueError, match="x is empty"):
        scale(torch.ones(2, 3), none, none)
    assert moments.mean.tolist() == [0.0] * 3 and moments.variance.tolist() == [1.0] * 3
    assert scale(torch.ones(2, 3), none, ~none).isfinite().all()
    with pytest.raises(ValueError, match="gamma must be a number in"):
        RewardScale(1.9)


def test_spread_is_spread_however_small():
    """1e-30 squared is no float32: numbers that differ all became 0."""
    tiny = torch.tensor([1e-30, 2e-30, 3e-30])
    assert torch.allclose(whiten(tiny, eps=0), torch.tensor([-1.0, 0.0, 1.0]), atol=4 * torch.finfo().eps)
    assert whiten(torch.full((3,), 0.1), eps=0).tolist() == [0.0] * 3
    with pytest.raises(ValueError, match="or too small"):
        whiten(torch.tensor([1e-170, 2e-170], dtype=torch.float64), eps=0)


def test_no_axis_is_not_every_axis():
    x = torch.arange(6.0).view(2, 3)
    for call in (aggregate, lambda x, dim: explained_variance(x, x, dim=dim), whiten):
        with pytest.raises(ValueError, match=r"dim must be a whole number.*\(\)"):
            call(x, dim=())


@pytest.mark.parametrize("history", [None, 3, "rows", {"kl": [0.1, 0.2]}, {"kl": 0.1}], ids=repr)
def test_what_is_no_history_has_no_report(history):
    with pytest.raises(TypeError, match="history must be rows"):
        report(history)
    assert "in 1 row," in report([{"kl": 0.01}])


# ---- what surrounds a run --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16], ids=str)
def test_another_default_dtype_draws_no_other_numbers(dtype):
    """The maze's uniform numbers were of it: those of bfloat16 have 8 bits, and a resumed run was another one."""

    def returns():
        config, discounted = PPOConfig(iterations=4), ReinforceConfig(iterations=4, discount_states=True)
        rows = [*ppo(Maze(slip=0.2), TabularPolicy(), TabularCritic(), config, seed=0)]
        rows += reinforce(Maze(), TabularPolicy(), TabularCritic(), discounted, seed=0)
        return [(row.get("return_mean"), row["policy_loss"], row["value_loss"]) for row in rows]

    right = returns()
    torch.set_default_dtype(dtype)
    try:
        assert returns() == right
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_run_goes_on_writing_where_it_began(tmp_path, monkeypatch):
    """After os.chdir the file of a relative path lay elsewhere, and the next session began anew."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    config = PPOConfig(iterations=4, checkpoint_every=2)
    run = lambda: ppo(Maze(), TabularPolicy(), TabularCritic(), config, seed=0, resume="run")  # noqa: E731
    rows = run()
    whole = [next(rows)]
    monkeypatch.chdir(tmp_path / "elsewhere")
    whole += rows
    assert (tmp_path / "run").exists() and not [*(tmp_path / "elsewhere").iterdir()]
    monkeypatch.chdir(tmp_path)
    assert list(run()) == whole


def test_autocast_rounds_no_logit_of_a_run():
    """Ratios had three digits, and gradients were off by .3 %."""
    runs = {
        "ppo": lambda: ppo(Maze(), TabularPolicy(), TabularCritic(), PPOConfig(), seed=0),
        "trpo": lambda: trpo(Maze(), TabularPolicy(), TabularCritic(), TRPOConfig(), seed=0),
        "reinforce": lambda: reinforce(Maze(), TabularPolicy(), None, ReinforceConfig(), seed=0),
    }
    for run in runs.values():
        with torch.autocast("cpu", dtype=torch.bfloat16), pytest.raises(RuntimeError, match=r"autocast .* is True"):
            next(run())


@pytest.mark.parametrize(
    "call",
    [
        lambda env: next(ppo(env, MLPPolicy(1, 2), MLPCritic(1), PPOConfig(), seed=0)),
        lambda env: evaluate(env, MLPPolicy(1, 2), episodes=2, seed=0),
    ],
)
def test_one_environment_is_no_two_copies(call):
    """A step of one moved the other: 1, 3 and 2, 4 in the place of 1, 2 and 1, 2."""
    one = Counter()
    for make in (lambda: one, lambda: TimeLimit(one, 9)):
        with pytest.raises(ValueError, match=r"of 2 copies .* only 1 .* Make each anew"):
            call(SyncVectorEnv([make] * 2))
    assert VectorBatch(SyncVectorEnv([lambda: one]), seed=0).collect(MLPPolicy(1, 2), 2).rewards.sum() == 2


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint32, np.float64], ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_whole_numbers_that_are_observed_keep_their_digits(mode, dtype):
    """float32 has none above 2^24 that is odd."""

    class Far(Counter):
        observation_space = Box(0, 2**30, (1,), dtype)

        def __init__(self):
            self.first = self.shown = np.array([2**24 + 1], dtype)

        def reset(self, *, seed=None, options=None):
            self.shown = self.first
            return self.shown, {}

        def step(self, action):
            self.shown = self.shown + dtype(2)
            return self.shown, 1.0, False, bool(self.shown[0] == 2**24 + 7), {}

    rollout = VectorBatch(copies(Far, 2, mode), seed=0).collect(MLPPolicy(1, 2).double(), 3)
    assert (rollout.observations[0, :, 0] - 2**24).tolist() == [1.0, 3.0, 5.0]
    assert (rollout.next_observations[0, :, 0] - 2**24).tolist() == [3.0, 5.0, 7.0]


def test_an_episode_may_have_as_many_steps_as_it_may_and_no_more():
    """One more passed, if it was the last."""
    env, policy = copies(Counter, 2), MLPPolicy(1, 2)  # of three steps each
    assert evaluate(env, policy, episodes=4, seed=0, max_episode_steps=3).tolist() == [3.0] * 4
    with pytest.raises(RuntimeError, match="has not ended in 2 steps"):
        evaluate(env, policy, episodes=2, seed=0, max_episode_steps=2)


def test_a_critic_without_length_is_one():
    """Its truth was asked: of a compiled one a TypeError, of an empty container no critic."""

    class Long(TabularCritic):
        def __len__(self):
            return 0

    config = ReinforceConfig(iterations=2)
    same = [list(reinforce(Maze(), TabularPolicy(), kind(), config, seed=0)) for kind in (Long, TabularCritic)]
    assert same[0] == same[1] and "value_loss" in same[0][0]


@pytest.mark.parametrize("log_std", [True, "0.5", float("nan"), float("inf"), None], ids=repr)
def test_a_spread_is_a_finite_number(log_std):
    with pytest.raises(ValueError, match="log_std must be a finite number"):
        GaussianPolicy(4, 2, log_std=log_std)


@pytest.mark.parametrize("eps", [float("nan"), -1.0, 0, "0.2", True, None], ids=repr)
def test_a_report_knows_its_clip_range(eps):
    """Of NaN a rule was silent, of -1 a healthy run sick."""
    for call in (report, diagnose):
        with pytest.raises(ValueError, match="eps must be positive"):
            call([{"policy_loss": -0.1}], eps=eps)


def test_tensors_of_few_bits_are_numbers_of_a_report():
    rows = [{"kl": 0.75, "grad_norm": 1.0}] * 20
    half = [{name: torch.tensor(x, dtype=torch.bfloat16) for name, x in row.items()} for row in rows]
    assert report(half) == report(rows) and "KL runaway" in report(half)


def test_a_maze_with_steps_of_its_own_is_none_that_its_tables_know():
    """Trainers read the tables: another reward in step() was never paid."""

    class Rich(Maze):
        def step(self, action):
            state, reward, *rest = super().step(action)
            return state, 100 * reward, *rest

    class Named(Maze):
        """Another name alone."""

    config = PPOConfig(iterations=1, steps=64, lr=0.1)
    runs = {
        "ppo": lambda env: ppo(env, TabularPolicy(), TabularCritic(), config, seed=0),
        "trpo": lambda env: trpo(env, TabularPolicy(), TabularCritic(), TRPOConfig(), seed=0),
        "reinforce": lambda env: reinforce(env, TabularPolicy(), None, ReinforceConfig(), seed=0),
    }
    for run in runs.values():
        with pytest.raises(TypeError, match=r"Rich has a step or reset of its own.*SyncVectorEnv\(\[Rich\] \* 16\)"):
            next(run(Rich()))
        assert next(run(Named())) == next(run(Maze()))
    paid = VectorBatch(SyncVectorEnv([Rich] * 2), seed=0).collect(TabularPolicy(), 8).rewards
    assert set(paid.flatten().tolist()) <= {-100.0, -10.0, 100.0}
