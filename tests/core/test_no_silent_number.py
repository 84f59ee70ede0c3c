"""Inputs that gave a number, and a wrong one: each gives the right one now, or an error by name."""

import decimal
import functools

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from test_habits import carts
from test_other_kinds import TRAINER, TRAINERS
from torch.distributions import Bernoulli, Normal
from vector_envs import MODES, OneState, copies

from ppo_lesson.cartpole import CartPole, CartPoleBatch
from ppo_lesson.diagnose import report
from ppo_lesson.kl import FixedKL, PaperKL, ZieglerKL, estimate
from ppo_lesson.maze import Maze, MazeBatch, solve
from ppo_lesson.objectives import aggregate, penalized_surrogate, value_loss
from ppo_lesson.policies import GaussianPolicy, MLPCritic, MLPPolicy, TabularCritic, TabularPolicy
from ppo_lesson.ppo import PPOConfig, ppo
from ppo_lesson.reinforce import ReinforceConfig, reinforce
from ppo_lesson.returns import discounted_returns, whiten
from ppo_lesson.trpo import TRPOConfig, conjugate_gradient, fisher_vector_product, trpo, trpo_step
from ppo_lesson.vector import evaluate

# ---- networks of many seeds where there is one -----------------------------------------------------------------------


def two(inputs=4):
    return MLPPolicy(inputs, 2, seed=range(2)), MLPCritic(inputs, seed=range(2))


SHARED_OUT = {  # half of the environments was each network's: one row told the mean of both
    "carts": lambda: ppo(CartPole(), *two(), PPOConfig(iterations=1), seed=0),
    "a vector environment": lambda: ppo(
        SyncVectorEnv([OneState] * 4, autoreset_mode=MODES[1]), *two(1), PPOConfig(iterations=1), seed=0
    ),
    "the critic alone": lambda: ppo(CartPole(), MLPPolicy(4, 2), two()[1], PPOConfig(iterations=1), seed=0),
    "as many episodes as seeds": lambda: reinforce(
        Maze(), TabularPolicy(seeds=(16,)), None, ReinforceConfig(iterations=1, episodes=16), seed=0
    ),
    "an evaluation": lambda: evaluate(carts(), two()[0], episodes=2, seed=0),
    "an evaluation of a table": lambda: evaluate(
        copies(OneState, 2), TabularPolicy(1, 2, seeds=(2,)), episodes=2, seed=0
    ),
    "a question": lambda: two()[0](torch.zeros(4, 4)),
    "a question about values": lambda: two()[1](torch.zeros(6, 4)),
    "a question about spreads": lambda: GaussianPolicy(4, 2, seed=range(2))(torch.zeros(4, 4)),
}


@pytest.mark.parametrize("call", SHARED_OUT.values(), ids=SHARED_OUT)
def test_networks_of_many_seeds_do_not_share_the_environments_out(call):
    with pytest.raises(ValueError, match=r"one for each seed.*trainer"):
        list(call())


@TRAINER
def test_networks_of_one_seed_in_a_row_are_one_network(trainer):
    """K = 1: its answers are those of the network without the axis."""
    policy, critic = MLPPolicy(seed=[3]), MLPCritic(seed=[3])
    assert torch.equal(policy.net(torch.eye(16)[None])[0], MLPPolicy(seed=3).net(torch.eye(16)))
    if trainer in (ppo, reinforce):
        assert len(list(trainer(Maze(), policy, critic, TRAINERS[trainer], seed=[0]))) == 4


NO_SEEDS = [[1.7], "12", 2.0, True, [True, False], [], [[0], [1]], -1, 2**70, torch.tensor([0.5]), None]


@pytest.mark.parametrize("seed", NO_SEEDS, ids=repr)
def test_what_is_no_seed_is_no_other_seed(seed):
    """1.7 was the seed 1, "12" the seeds 1 and 2, True the seed 1; 2**70 and 2.0 failed in other people's words."""
    for make in (
        lambda: MLPPolicy(seed=seed),
        lambda: MLPCritic(seed=seed),
        lambda: MazeBatch(Maze(), 2, seed=seed),
        lambda: CartPoleBatch(CartPole(), 2, seed=seed),
    ):
        with pytest.raises(ValueError, match=r"seed (must be|is an empty)"):
            make()


def test_seeds_of_numpy_and_torch_are_the_seeds_they_say():
    for seed in (np.int64(3), torch.tensor(3), np.array(3)):
        assert torch.equal(MLPPolicy(seed=seed).net.weights[0], MLPPolicy(seed=3).net.weights[0])
        assert (
            MazeBatch(Maze(), 2, seed=seed).seed_numbers == [3] == CartPoleBatch(CartPole(), 2, seed=seed).seed_numbers
        )
    for seeds in (np.arange(2), torch.arange(2), (0, 1)):
        assert MLPPolicy(seed=seeds).net.seeds == (2,) == MazeBatch(Maze(), 2, seed=seeds).seeds


# ---- numbers ---------------------------------------------------------------------------------------------------------

ONES = torch.ones(3)
COMPLEX = [np.complex64(0.5 + 3j), np.complex128(0.5), torch.tensor(0.5 + 0j), np.array(0.5 + 1j)]


@pytest.mark.parametrize("number", [*COMPLEX, np.array("0.5"), bytearray(b"0.5")], ids=repr)
def test_a_number_that_is_complex_or_in_quotes_is_none(number):
    """NumPy drops the imaginary part with a warning: gamma = .5 + 3j was .5."""
    calls = {
        "gamma": lambda: discounted_returns(ONES, number),
        "beta": lambda: FixedKL(number),
        "lr": lambda: PPOConfig(lr=number),
        "eps": lambda: PPOConfig(eps=number),
        "denominator": lambda: aggregate(ONES, denominator=number),
        "delta": lambda: trpo_step(TabularPolicy(), torch.zeros(3).long(), torch.zeros(3).long(), ONES, delta=number),
    }
    for name, call in calls.items():
        with pytest.raises(ValueError, match=f"{name} must"):
            call()
    assert discounted_returns(ONES, decimal.Decimal("0.5")).tolist() == [1.75, 1.5, 1.0]


def test_a_mask_is_no_beta_and_no_denominator():
    """True alone was refused, a tensor of it counted as 1."""
    mask = torch.ones(2, dtype=torch.bool)
    with pytest.raises(ValueError, match="denominator must be a finite number"):
        aggregate(torch.ones(2, 3), dim=1, denominator=mask)
    with pytest.raises(ValueError, match="beta must be a finite number"):
        penalized_surrogate(*[torch.zeros(2)] * 4, mask)


def test_what_a_mask_of_numpy_hides_is_no_reward():
    hidden = np.ma.masked_array([1.0, 100.0, 3.0], mask=[False, True, False])
    for call in (lambda: discounted_returns(hidden, 1.0), lambda: whiten(hidden)):
        with pytest.raises(TypeError, match=r"(rewards|x) must be .*; got MaskedArray: .*NoneType"):
            call()
    assert discounted_returns(np.ma.masked_array([1.0, 2.0]), 1.0).tolist() == [3.0, 2.0]
    with pytest.raises(TypeError, match=r"got ndarray: .*negative.*array.copy\(\)"):  # torch.as_tensor was the advice
        discounted_returns(np.arange(3.0)[::-1], 1.0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_squares_that_a_half_cannot_hold_are_halved_before_it_holds_them(dtype):
    """300^2 / 2 = 45,000 is a float16, 300^2 is none: the loss was infinite."""
    x, zero = torch.tensor([300.0], dtype=dtype, requires_grad=True), torch.zeros(1, dtype=dtype)
    for y in (value_loss(x, zero), value_loss(x, zero, values_old=zero, clip=400.0), estimate(x, zero, "k2")):
        (slope,) = torch.autograd.grad(y.sum(), x)
        assert y.dtype == dtype and slope.item() == 300
        assert abs(y.item() - 45_000) <= 45_000 * torch.finfo(dtype).eps / 2
    assert value_loss(ONES, ONES, values_old=ONES.double(), clip=0.5).dtype == torch.float64


@pytest.mark.parametrize("kind", [float, torch.float32, torch.float64], ids=str)
def test_a_beta_that_fell_for_long_rises_again(kind):
    """After 150 halvings a float32 was 0, and no KL, however large, brought the penalty back."""
    many = lambda x: x if kind is float else torch.full((2,), x, dtype=kind)  # noqa: E731
    rule = PaperKL(many(1.0), target=0.01)
    for _ in range(1200):
        rule.update(many(0.0))
    low = torch.as_tensor(rule.beta).clone()
    assert (low > 0).all() and (low < 1e-29).all()
    for _ in range(50):
        rule.update(many(1.0))
    assert torch.allclose(torch.as_tensor(rule.beta), low * 2.0**50)
    mixed = PaperKL(torch.tensor([1.0, 1e-31]), 0.01)
    assert torch.equal(mixed.update(torch.zeros(2)), torch.tensor([0.5, 1e-31])), "each seed by itself"


def test_two_numbers_are_no_kl_of_ziegler():
    with pytest.raises(ValueError, match="kl_to_reference must be a finite number"):
        ZieglerKL(0.1, 6.0).update(torch.tensor([5.0, 5.0]), 8)
    assert isinstance(ZieglerKL(0.1, 6.0).update(torch.tensor(5.0), 8), float)


# ---- trpo's parts ----------------------------------------------------------------------------------------------------


def test_weights_of_another_shape_do_not_spread_over_the_observations():
    """(n, 1) beside (n,) made (n, n): the Fisher matrix was n times too large."""
    policy, states, vector = TabularPolicy(3, 2), torch.tensor([0, 1, 2]), torch.arange(6.0).double()
    right = fisher_vector_product(policy, states, vector, damping=0.0)
    assert torch.equal(fisher_vector_product(policy, states, vector, damping=0.0, weights=ONES.double()), right)
    for weights in (ONES[:, None], ONES[:1], torch.tensor(1.0)):
        with pytest.raises(ValueError, match=r"one shape: .*KL.* \(3,\), weights"):
            fisher_vector_product(policy, states, vector, damping=0.0, weights=weights)


def test_nothing_is_solved_for_a_vector_that_is_not_finite():
    """0, the answer to it, looked like a stationary point."""
    with pytest.raises(ValueError, match=r"b has a non-finite entry: b\[1\] = nan"):
        conjugate_gradient(lambda v: v, torch.tensor([1.0, torch.nan]))


@pytest.mark.parametrize("name", ["delta", "damping", "shrink"])
def test_numbers_in_quotes_are_no_steps(name):
    batch = torch.zeros(3).long(), torch.zeros(3).long()
    with pytest.raises(ValueError, match=f"{name}.*; got"):
        trpo_step(TabularPolicy(), *batch, ONES, **{name: "0.5"})
    with pytest.raises(TypeError, match="advantages must be a torch tensor; got ndarray"):
        trpo_step(TabularPolicy(), *batch, np.ones(3))


@pytest.mark.parametrize(
    "probs",
    [
        torch.full((16, 4), 0.25 + 1j),
        np.full((16, 4), 0.25 + 0j),
        np.ma.masked_array(np.full((16, 4), 0.25), mask=np.eye(16, 4)),
    ],
    ids=["complex", "complex of numpy", "masked"],
)
def test_probabilities_are_real_and_there(probs):
    with pytest.raises(TypeError, match="probs must be a table of numbers"):
        solve(probs, 0.99)


def test_a_kl_that_is_hidden_or_complex_is_no_kl_of_0():
    """The report said "policy frozen"."""
    rows = list(ppo(Maze(), TabularPolicy(), TabularCritic(), PPOConfig(), seed=0))
    right = report(rows)
    assert "policy frozen" in report([row | {"kl": 0.0} for row in rows])
    assert "policy frozen" not in report([row | {"kl": np.ma.masked} for row in rows])
    with pytest.raises(ValueError, match=r"kl must be a number.*1j is complex or is a text"):
        report([row | {"kl": 1j} for row in rows])
    assert report([{name: torch.tensor(x) for name, x in row.items()} for row in rows]) == right, "tensors are numbers"


@pytest.mark.parametrize("make", [lambda y: Bernoulli(logits=y), lambda y: Normal(y, 1.0)], ids=["Bernoulli", "Normal"])
def test_a_cart_goes_left_or_right(make):
    class Own(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = torch.nn.Linear(4, 1)

        def forward(self, x):
            return make(self.net(x)[..., 0])

    with pytest.raises(ValueError, match=r"policy must give 2 probabilities.*\(16, 2\)"):
        next(ppo(CartPole(), Own(), MLPCritic(4), PPOConfig(), seed=0))


# ---- one environment, two users --------------------------------------------------------------------------------------


def test_an_environment_that_somebody_else_began_anew_is_no_middle_of_an_episode():
    """A return went on counting over the other's steps: 54 in the place of 15."""
    config = PPOConfig(iterations=3, steps=32, lr=1e-3, critic_lr=1e-3)

    def run(env, seed=0):
        return ppo(env, MLPPolicy(4, 2), MLPCritic(4), config, seed=seed)

    env = carts()
    for disturb in (
        lambda: evaluate(env, MLPPolicy(4, 2), episodes=2, seed=1),
        lambda: evaluate(RecordEpisodeStatistics(env), MLPPolicy(4, 2), episodes=2, seed=1),
        lambda: next(run(env, 1)),
    ):
        rows = run(env)
        next(rows)
        disturb()
        with pytest.raises(RuntimeError, match=r"began the same environment anew.*Make a second environment"):
            next(rows)
    whole = list(run(carts()))
    assert list(run(env)) == whole, "one after the other they may have it"
    other, rows = carts(), run(env)
    assert [evaluate(other, MLPPolicy(4, 2), episodes=2, seed=1) is not None and row for row in rows] == whole


HANDS = {
    "copies": lambda: SyncVectorEnv([lambda: gymnasium.make("CartPole-v1")] * 2),
    "copies elsewhere": lambda: AsyncVectorEnv([lambda: gymnasium.make("CartPole-v1")] * 2),
    "copies that end at once": lambda: copies(functools.partial(Far, 2), 2, MODES[1]),
    "one program": lambda: gymnasium.make_vec("CartPole-v1", num_envs=2, vectorization_mode="vector_entry_point"),
    "wrapped": lambda: RecordEpisodeStatistics(copies(functools.partial(Far, 9), 2, MODES[2])),
}


class Far(gymnasium.Env):
    """A walk to the right, as far as it came in each episode; it starts somewhere in (0, 1)."""

    observation_space, action_space = Box(0, 99, (4,)), Discrete(2)

    def __init__(self, limit):
        self.limit = limit

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.start, self.time = self.np_random.uniform(size=4), 0
        return self.start.astype(np.float32), {}

    def step(self, action):
        self.time += 1
        return (self.start + self.time).astype(np.float32), 1.0, False, self.time == self.limit, {}


@pytest.mark.parametrize("trainer", [ppo, pytest.param(trpo, marks=pytest.mark.slow)])
@pytest.mark.parametrize("make", HANDS.values(), ids=HANDS)
def test_a_hand_on_the_environment_between_two_rows_is_seen(make, trainer):
    """env.reset() there: the next episode began in the middle of the last one's return, and nothing said so."""
    small = {"iterations": 3, "steps": 32, "critic_lr": 1e-3}
    config = TRPOConfig(damping=0.1, **small) if trainer is trpo else PPOConfig(lr=1e-3, **small)
    env = make()
    run = lambda: trainer(env, MLPPolicy(4, 2), MLPCritic(4), config, seed=0)  # noqa: E731
    whole = list(run())
    for touch in (lambda: env.reset(), lambda: env.reset(seed=7), lambda: env.step(np.zeros(2, dtype=int))):
        rows = run()
        next(rows)
        touch()
        with pytest.raises(
            RuntimeError, match=r"your own env.reset\(\) or env.step\(\) .* began the same environment anew"
        ):
            next(rows)
    again = []
    for row in run():
        again.append(row)
        env.action_space.sample(), env.single_observation_space.sample(), str(env), env.unwrapped.num_envs
    assert again == whole, "looking at it disturbs nothing"
