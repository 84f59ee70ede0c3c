"""Networks and environments as people have them: what can be used is used, the rest is named before the first step."""

import contextlib
import functools
import os
import threading

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from torch import nn
from torch.distributions import (
    Beta,
    Categorical,
    Independent,
    Normal,
    TanhTransform,
    TransformedDistribution,
    kl_divergence,
    register_kl,
)
from torch.nn import functional
from vector_envs import MODES, OneState, Target, copies

from ppo_lesson.maze import Maze
from ppo_lesson.policies import GaussianPolicy, MLPCritic, MLPPolicy, TabularCritic, TabularPolicy
from ppo_lesson.ppo import PPOConfig, ppo
from ppo_lesson.reinforce import ActorCriticConfig, ReinforceConfig, actor_critic, reinforce
from ppo_lesson.trpo import TRPOConfig, trpo
from ppo_lesson.vector import OwnNumbers, VectorBatch, evaluate, vector_steps

SHORT = PPOConfig(iterations=2, steps=8, lr=1e-3, critic_lr=1e-3)


class Net(nn.Module):
    """`head` of what `body` gives."""

    def __init__(self, body, head=lambda x: x, **attributes):
        super().__init__()
        self.body, self.head = body, head
        for name, value in attributes.items():
            setattr(self, name, value)

    def forward(self, x):
        return self.head(self.body(x))


def categorical(body=None, **attributes):
    return Net(body or nn.Linear(4, 2), lambda x: Categorical(logits=x), **attributes)


def normal(body=None):
    return Net(body or nn.Linear(2, 2), lambda x: Independent(Normal(x, 1.0), 1))


def value(inputs=4, body=None):
    return Net(body or nn.Linear(inputs, 1), lambda x: x[..., 0])


def carts():
    return gymnasium.make_vec("CartPole-v1", num_envs=2)


def rows(env, policy, critic, config=SHORT):
    return list(ppo(env, policy, critic, config, seed=0))


class Pictures(Target):
    observation_space = Box(0, 255, (3, 8, 8), dtype=np.uint8)

    def _show(self):
        super()._show()
        return np.zeros((3, 8, 8), dtype=np.uint8)


def convolution(outputs, head):
    return Net(nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(2 * 6 * 6, outputs)), head)


def squashed(x):
    return Independent(TransformedDistribution(Normal(x, 1.0), TanhTransform()), 1)


def inference_mode():
    with torch.inference_mode():
        return categorical()


REFUSED = {  # (environment, policy, critic), and the words
    "value (n, 1)": (
        lambda: (carts(), categorical(), nn.Linear(4, 1)),
        r"one value for each observation, shape \(2, 1\); got torch.Size\(\[2, 1, 1\]\).*values\[..., 0\]",
    ),
    "value (n, 1) in the maze": (
        lambda: (Maze(), TabularPolicy(), nn.Embedding(16, 1, dtype=torch.float64)),
        r"critic must give one value for each observation, shape \(16, 1\)",
    ),
    "Normal without Independent": (
        lambda: (copies(Target, 2), Net(nn.Linear(2, 2), lambda x: Normal(x, 1.0)), value(2)),
        r"batch_shape \(2, 1\); got Normal\(.*, batch_shape \(2, 1, 2\). Independent\(distribution, 1\)",
    ),
    "tanh": (
        lambda: (copies(Target, 2), Net(nn.Linear(2, 2), squashed), value(2)),
        r"TransformedDistribution.* has no entropy or no KL divergence.*register_kl, or take a Normal",
    ),
    "swapped": (
        lambda: (carts(), value(), categorical()),
        "policy must give .*Distribution; got Tensor. Is it the critic",
    ),
    "swapped in the maze": (lambda: (Maze(), TabularCritic(), TabularPolicy()), "got Tensor. Is it the critic"),
    "a critic that is a policy": (lambda: (carts(), categorical(), categorical()), "one value .* got Categorical"),
    "functions": (lambda: (carts(), categorical(), lambda x: x), "critic must be a torch.nn.Module; got function"),
    "a lock": (
        lambda: (carts(), categorical(lock=threading.Lock()), value()),
        "policy cannot be copied: cannot pickle '_thread.lock' object.*outside of the module",
    ),
    "policy elsewhere": (
        lambda: (carts(), categorical().to("meta"), value()),
        "policy is on the device meta.*policy.cpu",
    ),
    "critic elsewhere": (lambda: (carts(), categorical(), value().to("meta")), "critic is on the device meta"),
    "made in inference mode": (lambda: (carts(), inference_mode(), value()), "policy was made in torch.inference_mode"),
    "dropout": (
        lambda: (carts(), nn.Sequential(nn.Dropout(0.5), categorical()), value()),
        r"policy holds Dropout in training mode, .*policy.eval\(\)",
    ),
    "batch statistics": (
        lambda: (carts(), nn.Sequential(nn.BatchNorm1d(4), categorical()), value()),
        "policy holds BatchNorm1d in training mode, .*LayerNorm",
    ),
    "two dtypes": (
        lambda: (copies(Target, 2), normal().bfloat16(), value(2)),
        r"critic cannot read observations torch.bfloat16 of shape \(2, 1, 2\).*policy and critic need one dtype",
    ),
    "a convolution that knows one axis": (
        lambda: (
            copies(Pictures, 2),
            convolution(2, lambda x: Independent(Normal(x, 1.0), 1)),
            convolution(1, lambda x: x[..., 0]),
        ),
        r"policy cannot read observations .* \(2, 1, 3, 8, 8\).*any leading axes, environments and steps",
    ),
}


@pytest.mark.parametrize(("make", "words"), REFUSED.values(), ids=REFUSED)
def test_networks_that_cannot_be_used_are_named_before_the_first_step(make, words):
    env, policy, critic = make()
    with pytest.raises((TypeError, ValueError, RuntimeError), match=words):
        rows(env, policy, critic)


@pytest.mark.parametrize(
    ("trainer", "config"),
    [(trpo, TRPOConfig()), (reinforce, ReinforceConfig()), (actor_critic, ActorCriticConfig())],
    ids=["trpo", "reinforce", "actor_critic"],
)
def test_every_trainer_names_them(trainer, config):
    with pytest.raises(TypeError, match="got Tensor"):
        next(trainer(Maze(), TabularCritic(), TabularPolicy(), config, seed=0))
    with torch.inference_mode(), pytest.raises(RuntimeError, match="inference_mode is True"):
        next(trainer(Maze(), TabularPolicy(), TabularCritic(), config, seed=0))


def test_another_default_device_is_named():
    torch.set_default_device("meta")
    try:
        with pytest.raises(RuntimeError, match="the default device is meta"):
            rows(carts(), MLPPolicy(4, 2), MLPCritic(4))
    finally:
        torch.set_default_device(None)


class Squashed(TransformedDistribution):
    """Its KL is that of what it squashes; its entropy is estimated with one sample."""

    def __init__(self, base):
        super().__init__(base, [TanhTransform(cache_size=1)])

    def entropy(self):
        return -self.log_prob(self.rsample())


@register_kl(Squashed, Squashed)
def _kl(p, q):
    return kl_divergence(p.base_dist, q.base_dist)


USED = {
    "lazy layers": lambda: (carts(), categorical(nn.LazyLinear(2)), value(body=nn.LazyLinear(1))),
    "TorchScript": lambda: (carts(), categorical(torch.jit.script(nn.Linear(4, 2))), value()),
    "bfloat16": lambda: (copies(Target, 2), normal().bfloat16(), value(2).bfloat16()),
    "float16": lambda: (copies(Target, 2), GaussianPolicy(2, 2).half(), MLPCritic(2).half()),
    "float64": lambda: (carts(), categorical().double(), value().double()),
    "a distribution of one's own": lambda: (
        copies(Target, 2),
        Net(nn.Linear(2, 2), lambda x: Squashed(Independent(Normal(0.01 * x, 0.1), 1))),
        value(2),
    ),
}


@pytest.mark.parametrize("make", USED.values(), ids=USED)
def test_networks_of_other_kinds_are_used_as_they_are(make):
    env, policy, critic = make()
    got = rows(env, policy, critic)
    assert len(got) == 2 and got[0]["ratio_error"] == 0 and got[1]["grad_norm"] > 0


def test_the_first_question_changes_no_number(monkeypatch):
    """Networks are asked once before the run; all that is drawn is as it would have been."""
    policy, critic = MLPPolicy(4, 2, seed=1), MLPCritic(4, seed=2)
    expected = vector_steps(VectorBatch(carts(), seed=0), policy, 8, critic)
    state, collected, collect = torch.random.get_rng_state(), [], VectorBatch.collect
    monkeypatch.setattr(VectorBatch, "collect", lambda *a: collected.append(collect(*a)) or collected[-1])
    next(ppo(carts(), policy, critic, SHORT, seed=0))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(collected[0].actions, expected.actions) and torch.equal(collected[0].logp, expected.logp)


# ---- random numbers --------------------------------------------------------------------------------------------------


def ended(seed, policy=None):
    policy, critic = policy or MLPPolicy(4, 2, seed=seed), MLPCritic(4, seed=seed)
    return list(ppo(carts(), policy, critic, PPOConfig(iterations=4, steps=32, lr=1e-3, critic_lr=1e-3), seed=seed))


def test_two_runs_in_two_threads_are_those_of_each_alone_and_disturb_nobody():
    expected, found = {seed: ended(seed) for seed in (1, 2)}, {}
    before, stop, moved = torch.random.get_rng_state(), threading.Event(), []

    def watch():
        while not stop.is_set():
            moved.append(not torch.equal(torch.random.get_rng_state(), before))

    threads = [threading.Thread(target=lambda s=seed: found.update({s: ended(s)})) for seed in (1, 2)]
    watcher = threading.Thread(target=watch)
    for thread in (watcher, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    watcher.join()
    assert found == expected and len(moved) > 10 and not any(moved)


DISTRIBUTIONS = {
    "Beta": lambda: Beta(torch.full((2, 3), 2.0), torch.full((2, 3), 3.0)),
    "Normal": lambda: Normal(torch.zeros(2, 3), 1.0),
    "Categorical": lambda: Categorical(logits=torch.zeros(2, 3)),
    "Bernoulli": lambda: torch.distributions.Bernoulli(torch.full((2,), 0.5)),
    "Binomial": lambda: torch.distributions.Binomial(10, torch.full((2,), 0.5)),
    "Poisson": lambda: torch.distributions.Poisson(torch.full((2,), 5.0)),
    "Exponential": lambda: torch.distributions.Exponential(torch.ones(2)),
    "Cauchy": lambda: torch.distributions.Cauchy(torch.zeros(2), torch.ones(2)),
    "Laplace": lambda: torch.distributions.Laplace(torch.zeros(2), torch.ones(2)),
    "Gumbel": lambda: torch.distributions.Gumbel(torch.zeros(2), torch.ones(2)),
    "Gamma": lambda: torch.distributions.Gamma(torch.ones(2), torch.ones(2)),
    "Dirichlet": lambda: torch.distributions.Dirichlet(torch.ones(2, 3)),
    "LogNormal": lambda: torch.distributions.LogNormal(torch.zeros(2), torch.ones(2)),
    "Uniform": lambda: torch.distributions.Uniform(torch.zeros(2), torch.ones(2)),
    "VonMises": lambda: torch.distributions.VonMises(torch.zeros(2), torch.ones(2)),
    "MultivariateNormal": lambda: torch.distributions.MultivariateNormal(torch.zeros(2, 3), torch.eye(3)),
    "mixture": lambda: torch.distributions.MixtureSameFamily(
        Categorical(torch.ones(2, 4)), Normal(torch.zeros(2, 4), 1.0)
    ),
}


@pytest.mark.parametrize("make", DISTRIBUTIONS.values(), ids=DISTRIBUTIONS)
def test_every_distribution_draws_what_the_global_generator_would_have_given(make):
    torch.manual_seed(7)
    expected = [make().sample() for _ in range(3)]
    torch.manual_seed(8)
    state = torch.random.get_rng_state()
    with OwnNumbers(torch.Generator().manual_seed(7)):
        found = [make().sample() for _ in range(3)]
    assert all(torch.equal(a, b) for a, b in zip(found, expected))
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("vector", [SyncVectorEnv, pytest.param(AsyncVectorEnv, marks=pytest.mark.slow)])
def test_the_copies_of_two_seeds_begin_in_no_common_state(vector):
    """Gymnasium gives copy k the seed s + k: of 16 starts under seed 1, seed 0 had 15."""

    def starts(seed, n=8):
        env = vector([functools.partial(gymnasium.make, "CartPole-v1")] * n)
        try:
            return {tuple(x) for x in VectorBatch(env, seed=seed).observations.tolist()}
        finally:
            env.close()

    many = [starts(seed) for seed in (range(5) if vector is SyncVectorEnv else range(2))]
    assert all(len(each) == 8 for each in many) and len(set.union(*many)) == 8 * len(many)
    assert starts(3) == starts(3)
    alone = gymnasium.make("CartPole-v1").reset(seed=3)[0]
    assert tuple(alone.tolist()) in starts(3) and starts(3, 1) == {tuple(alone.tolist())}


# ---- environments ----------------------------------------------------------------------------------------------------


class Paying(Target):
    """Pays the action itself, and remembers it."""

    heard: list

    def step(self, action):
        assert self.action_space.contains(action)
        self.heard.append(action.copy())
        self.time += 1
        return self._show(), float(action.sum()), False, self.time == 10, {}


def paying(space, n=2):
    kind = type("Paying", (Paying,), {"action_space": space, "heard": []})
    return copies(kind, n), kind.heard


@pytest.mark.parametrize(
    "space", [Box(100, 200, (1,)), Box(-9, -6, (1,)), Box(np.float32([-1, 50]), np.float32([1, 60]))]
)
def test_a_box_that_no_action_would_reach_is_refused_with_the_wrapper_that_reaches_it(space):
    """Every action would be its edge, for ever: the return never moves."""
    size = space.shape[0]
    with pytest.raises(ValueError, match=r"lie outside of Box\(.*RescaleAction\(env, -1.0, 1.0\)"):
        rows(paying(space)[0], GaussianPolicy(2, size), MLPCritic(2))
    env, heard = paying(space)
    rows(gymnasium.wrappers.vector.RescaleAction(env, -1.0, 1.0), GaussianPolicy(2, size), MLPCritic(2))
    assert len({tuple(x.tolist()) for x in heard}) > 10


@pytest.mark.parametrize(
    "space", [Box(-2, 3, (1,)), Box(0, np.inf, (1,)), Box(-np.inf, np.inf, (2,)), Box(1.5, 9, (1,))]
)
def test_a_box_that_some_actions_reach_is_used(space):
    env, heard = paying(space)
    assert len(rows(env, GaussianPolicy(2, space.shape[0]), MLPCritic(2))) == 2 and heard
    learned = GaussianPolicy(2, 1)
    learned.net.biases[-1].data += 150.0  # one that has moved there is used too
    assert len(rows(paying(Box(100, 200, (1,)))[0], learned, MLPCritic(2))) == 2


def test_whole_numbers_are_the_nearest_ones():
    """Cut off towards 0, more than two thirds of them would be 0: the chance of |x| < 1."""
    env, heard = paying(Box(-3, 3, (1,), dtype=np.int32), n=4)
    vector_steps(VectorBatch(env), GaussianPolicy(2, 1), 250)
    zeros = np.mean([x.item() == 0 for x in heard])
    share = torch.erf(torch.tensor(0.5 / 2**0.5)).item()  # of |x| < 1/2
    assert abs(zeros - share) < 4 * (share * (1 - share) / len(heard)) ** 0.5
    assert {x.dtype for x in heard} == {np.dtype(np.int32)}


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_an_evaluation_without_an_end_ends(mode):
    env = SyncVectorEnv([lambda: OneState(3), lambda: OneState(10**9)], autoreset_mode=mode)
    with pytest.raises(
        RuntimeError, match=r"environment 1 has not ended in 50 steps. Give it a time limit.*max_episode"
    ):
        evaluate(env, TabularPolicy(1, 2), episodes=2, seed=0, max_episode_steps=50)
    env = copies(lambda: OneState(50), 2, mode)
    assert evaluate(env, TabularPolicy(1, 2), episodes=4, seed=0, max_episode_steps=50).tolist() == [50.0] * 4


def test_a_policy_without_parameters_can_be_judged():
    class Fixed(nn.Module):
        def forward(self, x):
            return Categorical(logits=torch.zeros(*x.shape[:-1], 2))

    assert (evaluate(carts(), Fixed(), episodes=4, seed=0) > 5).all()


def test_a_rollout_of_resets_alone_is_named():
    config = PPOConfig(iterations=9, steps=1, lr=0.1)
    with pytest.raises(ValueError, match=r"steps=1: .*only started anew.*SAME_STEP") as caught:
        rows(copies(lambda: OneState(3), 2), TabularPolicy(1, 2), TabularCritic(1), config)
    assert "in iteration 3" in caught.value.__notes__[0]
    same = copies(lambda: OneState(3), 2, AutoresetMode.SAME_STEP)
    assert len(rows(same, TabularPolicy(1, 2), TabularCritic(1), config)) == 9


class Dying(Target):
    def step(self, action):
        if self.time == 5:
            os._exit(1)
        return super().step(action)


class Breaking(Target):
    def step(self, action):
        if self.time == 5:
            raise KeyError("lost")
        return super().step(action)


@pytest.mark.parametrize(("kind", "words"), [(Dying, "EOFError"), (Breaking, "lost")])
@pytest.mark.filterwarnings("ignore")
def test_a_worker_that_ended_is_named_and_a_new_environment_asked_for(kind, words):
    env = AsyncVectorEnv([kind] * 2)
    with pytest.raises(RuntimeError, match=rf"failed in step\(\): .*{words}.*cannot go on: make a new one"):
        rows(env, GaussianPolicy(2, 2), MLPCritic(2))
    with pytest.raises(RuntimeError, match=r"failed in reset\(\): .*cannot go on: make a new one"):
        rows(env, GaussianPolicy(2, 2), MLPCritic(2))
    with contextlib.suppress(EOFError):
        env.close(terminate=True)


# ---- runs that go on -------------------------------------------------------------------------------------------------

SAVED = PPOConfig(iterations=4, steps=16, lr=1e-3, critic_lr=1e-3, checkpoint_every=2)


def go(env, path, config=SAVED, count=99, seed=0):
    policy, critic = MLPPolicy(4, 2, hidden=(4,)), MLPCritic(4, hidden=(4,))
    run = ppo(env, policy, critic, config, seed=seed, resume=path)
    got = [row for _, row in zip(range(count), run)]
    run.close()
    return got


def lambdas(vector=SyncVectorEnv, **settings):
    return vector([lambda: gymnasium.make("CartPole-v1", **settings)] * 2)


OTHERS = {
    "another limit": (lambda: lambdas(max_episode_steps=20), lambda: lambdas(), "'max_episode_steps': 20"),
    "another setting": (lambda: lambdas(), lambda: lambdas(sutton_barto_reward=True), "'sutton_barto_reward': True"),
    "a wrapper": (
        lambda: lambdas(),
        lambda: SyncVectorEnv([lambda: gymnasium.wrappers.ClipReward(gymnasium.make("CartPole-v1"), 0, 1)] * 2),
        "ClipReward",
    ),
    "another argument of one's own class": (
        lambda: SyncVectorEnv([functools.partial(Cart, 5)] * 2),
        lambda: SyncVectorEnv([functools.partial(Cart, 6)] * 2),
        "'limit': 5",
    ),
    "another class": (
        lambda: SyncVectorEnv([functools.partial(Cart, 5)] * 2),
        lambda: SyncVectorEnv([functools.partial(OtherCart, 5)] * 2),
        "OtherCart",
    ),
}


class Cart(gymnasium.Env):
    observation_space, action_space = Box(-9, 9, (4,)), Discrete(2)

    def __init__(self, limit):
        self.limit = limit

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return np.zeros(4, dtype=np.float32), {}

    def step(self, action):
        self.time += 1
        return np.full(4, self.time, dtype=np.float32), 1.0, False, self.time == self.limit, {}


class OtherCart(Cart):
    pass


@pytest.mark.parametrize(("first", "second", "words"), OTHERS.values(), ids=OTHERS)
def test_a_run_does_not_go_on_in_another_environment_behind_the_same_spaces(first, second, words, tmp_path):
    before = go(first(), tmp_path / "run", count=3)
    with pytest.raises(ValueError, match=r"holds another run: env was .*, is now ") as caught:
        go(second(), tmp_path / "run")
    assert words in str(caught.value)
    assert go(first(), tmp_path / "run")[:2] == before[:2]


def test_a_run_goes_on_in_other_processes(tmp_path):
    whole = go(lambdas(), tmp_path / "whole")
    go(lambdas(), tmp_path / "run", count=3)
    env = lambdas(AsyncVectorEnv)
    try:
        assert go(env, tmp_path / "run") == whole
    finally:
        env.close()


WRAPPED = {
    "around all": lambda: gymnasium.wrappers.vector.NormalizeObservation(lambdas()),
    "rewards": lambda: gymnasium.wrappers.vector.NormalizeReward(lambdas()),
    "in each": lambda: SyncVectorEnv(
        [lambda: gymnasium.wrappers.NormalizeObservation(gymnasium.make("CartPole-v1"))] * 2
    ),
    "under another": lambda: gymnasium.wrappers.vector.RecordEpisodeStatistics(
        gymnasium.wrappers.vector.NormalizeReward(lambdas())
    ),
}


@pytest.mark.parametrize("make", WRAPPED.values(), ids=WRAPPED)
def test_statistics_that_no_checkpoint_holds_are_refused_with_those_that_it_holds(make, tmp_path):
    """The run after it would see other numbers: its own rows, and worse, another policy."""
    with pytest.raises(ValueError, match=r"resume: .* running statistics \((obs|return)_rms\).*standardize=True"):
        go(make(), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert len(go(make(), None)) == 4, "without a file nothing is promised"


class Remembering(Cart):
    """Counts its episodes, and shows it."""

    episodes = 0

    def reset(self, *, seed=None, options=None):
        self.episodes += 1
        observation, info = super().reset(seed=seed)
        return observation + self.episodes, info


def test_an_environment_that_remembers_is_found_at_the_first_checkpoint(tmp_path):
    env = SyncVectorEnv([functools.partial(Remembering, 5)] * 2)
    with pytest.raises(
        ValueError, match=r"after reset\(seed\) and the same actions the environment showed or paid something else"
    ):
        go(env, tmp_path / "run")
    assert len(go(SyncVectorEnv([functools.partial(Cart, 5)] * 2), tmp_path / "other")) == 4


def test_checkpoints_that_hide_every_end_are_refused(tmp_path):
    """Pendulum's episodes have 200 steps: after 64 all environments began anew, and no row told a return."""
    long = SyncVectorEnv([functools.partial(Cart, 200)] * 2)
    config = PPOConfig(iterations=6, steps=16, lr=1e-3, critic_lr=1e-3, checkpoint_every=2)
    for path in (None, tmp_path / "run"):
        with pytest.raises(
            ValueError, match=r"no episode has ended in checkpoint_every=2 .* steps=16.*larger"
        ) as caught:
            go(long, path, config)
        assert "in iteration 2" in caught.value.__notes__[0]
    assert len(go(SyncVectorEnv([functools.partial(Cart, 30)] * 2), tmp_path / "run", config)) == 6


class Noisy(nn.Module):
    """A policy that draws in its forward, whatever eval() says."""

    def __init__(self, noise):
        super().__init__()
        self.table, self.noise = nn.Parameter(torch.full((16, 4), 0.01)), noise

    def forward(self, x):
        return Categorical(logits=self.noise(self.table[x]))


NOISES = {
    "dropout": lambda x: functional.dropout(x, 0.1, training=True),
    "alpha dropout": lambda x: functional.alpha_dropout(x, 0.1, training=True),
    "noise on logits": lambda x: x + 1e-4 * torch.randn_like(x),
    "Gumbel": lambda x: functional.gumbel_softmax(x),
    "leaks": lambda x: functional.rrelu(-x, training=True),
}


@pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)
@pytest.mark.parametrize("trainer", [ppo, trpo], ids=lambda trainer: trainer.__name__)
def test_a_policy_that_answers_twice_differently_is_named_before_the_first_step(noise, trainer):
    """Dropout as a function has no mode that eval() could switch; a new policy's answers differ by little."""
    torch.manual_seed(0)
    config = PPOConfig() if trainer is ppo else TRPOConfig()
    with pytest.raises(ValueError, match="policy answered the same observations differently"):
        next(trainer(Maze(), Noisy(noise).eval(), TabularCritic(dtype=torch.float32), config, seed=0))
    next(trainer(Maze(), Noisy(lambda x: functional.dropout(x, 0.1, training=False)), TabularCritic(), config, seed=0))
