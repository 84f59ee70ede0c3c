"""Inputs that nobody means and somebody gives: each is taken for what it says, or refused by name before it costs."""

import copy
import functools

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box
from test_vector_answers import steps_of
from torch import nn
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal, OneHotCategorical, Uniform
from torch.nn.utils import parametrizations
from vector_envs import MODES, Answering, Target, copies

from ppo_lesson import kl, objectives, returns
from ppo_lesson.maze import Maze
from ppo_lesson.policies import GaussianPolicy, MLPCritic, MLPPolicy, TabularCritic, TabularPolicy
from ppo_lesson.ppo import PPOConfig, ppo
from ppo_lesson.reinforce import ActorCriticConfig, ReinforceConfig, actor_critic, reinforce
from ppo_lesson.trpo import TRPOConfig, trpo
from ppo_lesson.vector import VectorBatch, evaluate, vector_steps

SAME_STEP = MODES[1]
TRAINERS = {
    ppo: PPOConfig(iterations=4, lr=0.01, critic_lr=0.01),
    trpo: TRPOConfig(iterations=4),
    actor_critic: ActorCriticConfig(iterations=4, lr=0.01),
    reinforce: ReinforceConfig(iterations=4, lr=0.01),
}
TRAINER = pytest.mark.parametrize("trainer", TRAINERS, ids=lambda trainer: trainer.__name__)


# ---- what an environment answers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["terminated", "truncated", "rewards", "observations"])
def test_what_a_mask_hides_is_no_answer(name):
    """NumPy's masked arrays hold something beneath their mask, which was taken for the answer."""
    hidden = lambda x: np.ma.masked_array(x, mask=np.arange(2).reshape(2, *[1] * (x.ndim - 1)) == 1)  # noqa: E731
    with pytest.raises(ValueError, match=f"gave {name} (of dtype object|that make no array)"):
        steps_of(Answering(**{name: hidden}))
    whole = steps_of(Answering(**{name: np.ma.masked_array}))
    assert torch.equal(getattr(whole, name), getattr(steps_of(Answering()), name))


WITHOUT_ENDS = {
    "info is None": lambda info: None,
    "info is a tuple": lambda info: ({}, {}),
    "the old name": lambda info: {"final_observation": info.get("final_obs")},
    "None": lambda info: {"final_obs": None},
    "too few": lambda info: {"final_obs": info.get("final_obs", [])[:1]},
}


@pytest.mark.parametrize("change", WITHOUT_ENDS.values(), ids=WITHOUT_ENDS)
def test_final_observations_that_are_not_there_are_asked_for(change):
    with pytest.raises(ValueError, match="SAME_STEP, but info has no 'final_obs'"):
        steps_of(Answering(SAME_STEP, info=change))


@pytest.mark.parametrize("dtype", [np.longdouble, ">f4", ">f8", ">i2", np.float16])
def test_observations_of_every_real_dtype_are_numbers(dtype):
    """Neither long doubles nor another order of bytes are anything that torch can take."""
    right = steps_of(Answering()).observations
    assert torch.equal(steps_of(Answering(observations=lambda x: x.astype(dtype))).observations, right)


def test_a_number_that_the_networks_dtype_cannot_hold_is_named():
    """It became infinite on its way to the network, and the message was about probabilities."""
    with pytest.raises(ValueError, match=r"observations\[1, 0\] = inf"):
        steps_of(Answering(observations=lambda x: x.astype(float) + [[0], [1e39]]))
    policy, critic = MLPPolicy(1, 2, hidden=(4,)).half(), MLPCritic(1, hidden=(4,)).half()
    large = Answering(rewards=lambda x: 1e5 + x)  # more than a half can hold, and a reward need not be one
    rewards = vector_steps(VectorBatch(large), policy, 9, critic).rewards
    assert rewards.dtype == torch.float32 and rewards[0, 0] == 1e5 + 1


def test_a_box_of_bools_takes_the_nearest():
    """Cut off, everything above 0 was True."""
    batch = VectorBatch(copies(functools.partial(Switch), 1))
    told = [batch._into_the_box(torch.tensor([[x]])).item() for x in (-1.0, 0.1, 0.4, 0.6, 2.0)]
    assert told == [False, False, False, True, True]


class Switch(Target):
    action_space = Box(0, 1, (1,), np.bool_)


# ---- networks --------------------------------------------------------------------------------------------------------


class Net(nn.Module):
    """On squares, or on numbers: one hidden layer, and what `make` makes of its outputs."""

    def __init__(self, make, inputs=16, outputs=4):
        super().__init__()
        self.make, self.hidden, self.head = make, nn.Linear(inputs, 8), nn.Linear(8, outputs)

    def forward(self, x):
        if not x.is_floating_point():
            x = nn.functional.one_hot(x, self.hidden.in_features).to(self.hidden.weight.dtype)
        return self.make(self.head(torch.tanh(self.hidden(x))))


def actor(make=lambda y: Categorical(logits=y)):
    return Net(make)


def judge(make=lambda y: y[..., 0]):
    return Net(make, outputs=1)


def broken(module, value=float("nan")):
    with torch.no_grad():
        next(module.parameters()).view(-1)[0] = value
    return module


@TRAINER
def test_what_cannot_learn_is_named_before_the_first_step(trainer):
    cases = [
        (actor(lambda y: Categorical(logits=y.detach())), judge(), "policy does not depend on its parameters"),
        (actor(), judge(lambda y: y[..., 0].detach()), "critic does not depend on its parameters"),
        (broken(TabularPolicy(), -torch.inf), judge(), "a parameter of policy is not finite"),
        (actor(), broken(judge(), torch.inf), "a parameter of critic is not finite"),
    ]
    for policy, critic, words in cases:
        with pytest.raises(ValueError, match=words):
            next(trainer(Maze(), policy, critic, TRAINERS[trainer], seed=0))


@TRAINER
def test_layers_and_memory_that_two_networks_share_are_refused(trainer):
    """PPO gave each its own copy of memory that they shared, and the critic of TRPO moved the policy."""
    shared, memory = judge(), judge()
    policy = actor()
    shared.hidden, memory.hidden.weight.data = policy.hidden, policy.hidden.weight.data
    for critic in (shared, memory):
        with pytest.raises(ValueError, match=r"share layers.*Make two networks"):
            next(trainer(Maze(), policy, critic, TRAINERS[trainer], seed=0))
    tied = actor()
    tied.again = tied.hidden  # one parameter under two names is one
    next(trainer(Maze(), tied, copy.deepcopy(shared), TRAINERS[trainer], seed=0))


CHANGED = {
    "added": lambda m: m.register_parameter("more", nn.Parameter(torch.zeros(3))),
    "all frozen": lambda m: m.requires_grad_(False),
    "weight_norm": lambda m: parametrizations.weight_norm(m.hidden),
    "another layer": lambda m: setattr(m, "head", copy.deepcopy(m.head)),
}


@TRAINER
@pytest.mark.parametrize("change", CHANGED.values(), ids=CHANGED)
def test_parameters_that_change_in_the_middle_are_noticed(trainer, change):
    """TRPO asks its policy anew each time, so that only a frozen one is no use to it."""
    policy, critic = actor(), judge()
    rows = trainer(Maze(), policy, critic, TRAINERS[trainer], seed=0)
    next(rows)
    change(critic if trainer is trpo and change is not CHANGED["all frozen"] else policy)
    with pytest.raises((RuntimeError, ValueError), match=r"replaced|requires_grad=True"):
        next(rows)


@TRAINER
def test_weights_in_another_order_of_memory_learn(trainer):
    """As of a network in channels_last."""
    policy, critic = actor(), judge()
    for module in (policy, critic):
        module.hidden.weight.data = module.hidden.weight.data.T.contiguous().T
    assert len(list(trainer(Maze(), policy, critic, TRAINERS[trainer], seed=0))) == 4


DISTRIBUTIONS = {  # in the maze
    "one-hot": lambda y: OneHotCategorical(logits=y),
    "uniform": lambda y: Uniform(y[..., 0], y[..., 0] + 1),
    "in another": lambda y: Independent(Categorical(logits=y), 0),
}


@pytest.mark.parametrize("make", DISTRIBUTIONS.values(), ids=DISTRIBUTIONS)
def test_a_distribution_that_chooses_no_direction_is_named(make):
    with pytest.raises(ValueError, match=r"policy must give 4 probabilities.*got (OneHot|Uniform|Independent)"):
        next(ppo(Maze(), actor(make), TabularCritic(), PPOConfig(), seed=0))


def test_actions_that_cannot_be_drawn_are_named_and_never_reach_the_environment():
    gauss = GaussianPolicy(2, 2)
    with torch.no_grad():
        gauss.net.biases[-1].fill_(torch.nan)  # the spread is fine: NaN would be drawn, and handed on
    mixed = lambda y: MixtureSameFamily(Categorical(logits=y), Independent(Normal(y[..., None] + y, 1.0), 1))  # noqa: E731
    for policy, words in (
        (gauss, "actions has a non-finite entry"),
        (broken(GaussianPolicy(2, 2)), "policy gives a Independent, and no action can be drawn"),
        (Net(mixed, 2, 2), "MixtureSameFamily.*does not implement mode"),
        (MLPCritic(2), "policy gives a Tensor, and no action can be drawn"),
    ):
        with pytest.raises(ValueError, match=words):
            evaluate(copies(Target, 2), policy, episodes=2, seed=0, greedy=isinstance(policy, Net))


def test_an_evaluation_looks_at_its_policy_and_its_limit():
    with pytest.raises(TypeError, match=r"policy must be a torch.nn.Module; got function"):
        evaluate(copies(Target, 2), lambda x: None, episodes=2, seed=0)
    noisy = nn.Sequential(nn.Dropout(0.5), GaussianPolicy(2, 2))
    with pytest.raises(ValueError, match=r"policy holds Dropout in training mode"):
        evaluate(copies(Target, 2), noisy, episodes=2, seed=0)
    assert len(evaluate(copies(Target, 2), noisy.eval(), episodes=2, seed=0)) == 2
    for limit in (None, "9", float("nan"), 0):
        with pytest.raises(ValueError, match="max_episode_steps must be"):
            evaluate(copies(Target, 2), GaussianPolicy(2, 2), episodes=2, seed=0, max_episode_steps=limit)
    with pytest.raises(ValueError, match="seed must be at least 0 and at most"):
        evaluate(copies(Target, 2), GaussianPolicy(2, 2), episodes=2, seed=2**70)


# ---- halves ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_policy_in_a_half_learns_what_it_learns_in_float32(dtype):
    """In a half the squares of gradients are 0 (float16: steps of a thousand learning rates), or small steps are
    rounded away. Moments and weights are float32 now; what is left is the rounding of what the networks say.
    """

    def run(dtype):
        torch.manual_seed(0)
        nets = actor().to(dtype), judge().to(dtype)
        rows = list(ppo(Maze(), *nets, PPOConfig(iterations=8, lr=0.003, critic_lr=0.01), seed=range(1)[0]))
        assert {p.dtype for net in nets for p in net.parameters()} == {dtype}
        return np.array([row["entropy"] for row in rows]), np.array([row["kl"] for row in rows])

    (entropy, moved), (right, wanted) = run(dtype), run(torch.float32)
    room = 64 * torch.finfo(dtype).eps * 1.4  # of an entropy of at most log 4, after the walks have parted
    assert np.abs(entropy - right).max() < room and np.median(moved) > 0.2 * np.median(wanted)


@pytest.mark.parametrize("train", [trpo, actor_critic, reinforce])
def test_where_adam_is_torchs_float16_is_refused_by_name_and_nothing_else_is(train):
    """Its epsilon of 1e-8 is 0 there: the run "diverged", and lower learning rates, the advice, changed nothing."""
    nets, config = (TabularPolicy().half(), TabularCritic().half()), TRAINERS[train]
    with pytest.raises(TypeError, match=r"(policy|critic) is in float16, in which Adam.*: (policy|critic)\.float\(\)"):
        list(train(Maze(), *nets, config, seed=0))
    assert len(list(train(Maze(), *(net.float() for net in nets), config, seed=0))) == config.iterations
    assert len(list(train(Maze(), *(net.bfloat16() for net in nets), config, seed=0))) == config.iterations
    if train is reinforce:
        plain = ReinforceConfig(iterations=4, lr=0.01, optimizer="sgd")
        assert len(list(train(Maze(), *(net.half() for net in nets), plain, seed=0))) == 4


def test_steps_too_small_for_a_half_add_up():
    """1 - 2^-10 is no bfloat16: 100 such steps stood still."""
    p = nn.Parameter(torch.ones(3, dtype=torch.bfloat16))
    from ppo_lesson.optim import Adam

    optimizer = Adam([([p], 2.0**-10)])
    for _ in range(100):
        optimizer.backward(p.sum())
        optimizer.step()
    assert torch.allclose(p.float(), torch.full((3,), 1 - 100 * 2.0**-10), atol=2 * torch.finfo(torch.bfloat16).eps)
    with torch.no_grad():
        p.fill_(4.0)  # loaded meanwhile
    optimizer.backward(p.sum())
    optimizer.step()
    assert torch.allclose(p.float(), torch.full((3,), 4.0)), "the step starts from what was loaded"


@pytest.mark.parametrize("dtypes", [(torch.bfloat16,) * 2, (torch.float32, torch.float64)], ids=str)
def test_a_run_whose_optimizer_knows_more_digits_goes_on_bit_by_bit(dtypes, tmp_path):
    config = PPOConfig(iterations=5, lr=1e-3, critic_lr=1e-3, checkpoint_every=2)

    def run(path, count=9):
        torch.manual_seed(0)
        nets = actor().to(dtypes[0]), judge().to(dtypes[1])
        rows = ppo(Maze(), *nets, config, seed=0, resume=path)
        got = [row for _, row in zip(range(count), rows)]
        rows.close()
        return got, [p.detach().clone() for net in nets for p in net.parameters()]

    whole = run(tmp_path / "whole")
    run(tmp_path / "part", 3)
    rows, weights = run(tmp_path / "part")
    assert rows == whole[0] and all(map(torch.equal, weights, whole[1]))


# ---- numbers ---------------------------------------------------------------------------------------------------------


def test_formulas_at_their_edges():
    half, rows = torch.full((3000,), -30.0).half(), torch.tensor([[True, True], [False, False]])
    assert (objectives.sequence_log_ratio(half, torch.zeros_like(half)) == -30).all(), "the sum is no float16"
    assert not returns.whiten(torch.ones(3), eps=0.0).any() and not returns.whiten(torch.ones(3), eps=1e-60).any()
    with pytest.raises(ValueError, match=r"mask marks no real step in one of the rows that dim=-1 keeps apart"):
        objectives.aggregate(torch.ones(2, 2), rows, dim=-1)
    assert objectives.aggregate(torch.ones(2, 2), rows, dim=-1, denominator=4).tolist() == [0.5, 0.0]
    with pytest.raises(ValueError, match="n must be at least 1 and at most 49"):
        kl.ZieglerKL(1.0, 1.0, horizon=10).update(kl_to_reference=0.0, n=1000)  # beta was -19: paid for leaving
    assert kl.ZieglerKL(1.0, 1.0, horizon=10).update(kl_to_reference=0.0, n=49) > 0
