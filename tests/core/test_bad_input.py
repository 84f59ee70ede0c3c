"""Wrong input gets an error that names the argument, says what came, and says what was expected."""

import math
import re

import numpy as np
import pytest
import torch

from ppo_lesson import kl
from ppo_lesson.maze import Maze, MazeBatch, exact_policy_gradient, optimal, solve
from ppo_lesson.objectives import (
    aggregate,
    clip_fraction,
    clipped_surrogate,
    explained_variance,
    penalized_surrogate,
    policy_gradient,
    surrogate,
    value_loss,
)
from ppo_lesson.policies import TabularCritic, TabularPolicy
from ppo_lesson.reinforce import ActorCriticConfig, ReinforceConfig, actor_critic, reinforce
from ppo_lesson.returns import discounted_returns, gae, whiten
from ppo_lesson.rollout import fixed_steps, whole_episodes

NAN = math.nan
ONES, TWO = torch.ones(3), torch.ones(2)
NONE = torch.zeros(3, dtype=torch.bool)
UNIFORM = torch.full((16, 4), 0.25)
ALL_UP = torch.eye(4)[torch.zeros(16, dtype=torch.long)]


def table(row):
    probs = UNIFORM.clone()
    probs[2] = torch.tensor(row)
    return probs


def almost_all_up(logit):
    return torch.softmax(logit * ALL_UP.double(), -1)


def first_row(trainer, maze, policy, critic, config, seed=0):
    return next(trainer(maze, policy, critic, config, seed=seed))


def steps(**changes):
    good = {"rewards": ONES, "values": ONES, "next_values": ONES, "terminated": NONE, "gamma": 0.9, "lam": 0.9}
    return gae(**good | changes)


CASES = {  # what is done: (call, error, all of these words stand in the message)
    # the maze
    "size 4.0": (lambda: Maze(4.0), ValueError, ["size", "whole number", "4.0", "float"]),
    "size '4'": (lambda: Maze("4"), ValueError, ["size", "whole number", "'4'"]),
    "size 4.5 in a tensor": (lambda: Maze(torch.tensor(4.5)), ValueError, ["size", "whole number", "tensor(4.5000)"]),
    "size True": (lambda: Maze(True), ValueError, ["size", "whole number", "True"]),
    "size 1": (lambda: Maze(1), ValueError, ["size", "at least 2", "1"]),
    "size 1000": (lambda: Maze(1000), ValueError, ["size", "at most 32", "1000"]),
    "slip 1.5": (lambda: Maze(slip=1.5), ValueError, ["slip", "[0.0, 1.0]", "1.5"]),
    "slip NaN": (lambda: Maze(slip=NAN), ValueError, ["slip", "[0.0, 1.0]", "nan"]),
    "slip as text": (lambda: Maze(slip="little"), ValueError, ["slip", "number", "'little'"]),
    "wall outside": (lambda: Maze(walls=[16]), ValueError, ["walls", "at most 15", "16"]),
    "walls is a number": (lambda: Maze(walls=5), ValueError, ["walls", "[5]", "got 5"]),
    "wall on the start": (lambda: Maze(walls=[0]), ValueError, ["start (0)", "walls [0]", "differ"]),
    "start on the goal": (lambda: Maze(start=15), ValueError, ["start (15)", "goal (15)", "differ"]),
    "goal walled in": (lambda: Maze(walls=[11, 14]), ValueError, ["walls [11, 14]", "square 0", "remove"]),
    "a square walled in": (lambda: Maze(walls=[2, 7]), ValueError, ["walls [2, 7]", "square 3", "remove"]),
    "no step": (lambda: Maze(max_steps=0), ValueError, ["max_steps", "at least 1", "0"]),
    "reward NaN": (lambda: Maze(step_reward=NAN), ValueError, ["step_reward", "finite", "nan"]),
    "reward infinite": (lambda: Maze(goal_reward=math.inf), ValueError, ["goal_reward", "finite", "inf"]),
    "render_mode": (lambda: Maze(render_mode="human"), ValueError, ["render_mode", "'ansi'", "'human'"]),
    "action 4": (lambda: Maze().step(4), ValueError, ["action", "0 (up)", "4"]),
    "action as text": (lambda: Maze().step("up"), ValueError, ["action", "0 (up)", "'up'"]),
    # the batch
    "no robot": (lambda: MazeBatch(Maze(), 0), ValueError, ["n", "at least 1", "0"]),
    "no seed": (lambda: MazeBatch(Maze(), 1, seed=[]), ValueError, ["seed", "empty"]),
    "seed 1.5": (lambda: MazeBatch(Maze(), 1, seed=1.5), ValueError, ["seed", "whole number", "1.5"]),
    "seed below 0": (lambda: MazeBatch(Maze(), 1, seed=[0, -1]), ValueError, ["seed", "at least 0", "-1"]),
    "actions 4": (lambda: MazeBatch(Maze(), 2).step(torch.tensor([0, 4])), ValueError, ["actions", "3", "0 to 4"]),
    "one action for two": (
        lambda: MazeBatch(Maze(), 2).step(torch.tensor([0])),
        ValueError,
        ["shape (2,)", "shape (1,)"],
    ),
    "no chance for the floor": (
        lambda: MazeBatch(Maze(slip=0.1), 2).step(torch.tensor([0, 0])),
        ValueError,
        ["slippery", "u_slip", "envs.uniforms"],
    ),
    "no steps": (
        lambda: fixed_steps(MazeBatch(Maze(), 2), TabularPolicy(), 0),
        ValueError,
        ["steps", "at least 1", "0"],
    ),
    # the exact solution
    "rows that sum to 2": (lambda: solve(2 * UNIFORM, 0.9), ValueError, ["probs[0]", "sums to 2", "torch.softmax"]),
    "a negative probability": (
        lambda: solve(table([-0.5, 0.5, 0.5, 0.5]), 0.9),
        ValueError,
        ["probs[2]", "-0.5", ">= 0"],
    ),
    "a NaN probability": (lambda: solve(table([NAN, 0.5, 0.5, 0.0]), 0.9), ValueError, ["probs[2]", "nan"]),
    "logits for probabilities": (
        lambda: solve(torch.zeros(16, 4), 0.9),
        ValueError,
        ["probs[0]", "sums to 0", "torch.softmax"],
    ),
    "the offending seed": (
        lambda: solve(torch.stack([UNIFORM, 2 * UNIFORM]), 0.9),
        ValueError,
        ["probs[1, 0]", "sums to 2"],
    ),
    "a table for another maze": (lambda: solve(UNIFORM, 0.9, maze=Maze(5)), ValueError, ["probs", "25, 4", "(16, 4)"]),
    "three actions": (lambda: solve(torch.ones(16, 3) / 3, 0.9), ValueError, ["probs", "16, 4", "(16, 3)"]),
    "no policies": (lambda: solve(torch.ones(0, 16, 4), 0.9), ValueError, ["probs", "empty", "(0, 16, 4)"]),
    "the policy itself": (lambda: solve(TabularPolicy(), 0.9), TypeError, ["probs", "TabularPolicy", "policy.probs"]),
    "gamma 1.1": (lambda: solve(UNIFORM, 1.1), ValueError, ["gamma", "[0.0, 1.0]", "1.1"]),
    "gamma -0.1": (lambda: optimal(-0.1), ValueError, ["gamma", "[0.0, 1.0]", "-0.1"]),
    "gamma NaN": (lambda: exact_policy_gradient(UNIFORM, NAN), ValueError, ["gamma", "nan"]),
    "gamma as text": (lambda: solve(UNIFORM, "high"), ValueError, ["gamma", "'high'"]),
    "never at the goal": (
        lambda: solve(ALL_UP, 1.0),
        ValueError,
        ["gamma = 1", "never", "square 0", "gamma < 1", "positive"],
    ),
    "one of two never there": (
        lambda: solve(torch.stack([UNIFORM, ALL_UP]), 1.0),
        ValueError,
        ["policy [1]", "never", "square 0"],
    ),
    "there after 1e50 steps": (
        lambda: solve(almost_all_up(100.0), 1.0),
        ValueError,
        ["gamma = 1", "1e12 steps", "square 0", "gamma < 1"],
    ),
    "there after 4e13 steps": (lambda: solve(almost_all_up(10.0), 1.0), ValueError, ["1e12 steps", "gamma < 1"]),
    "no best policy": (lambda: optimal(1.0, maze=Maze(step_reward=1.0)), ValueError, ["gamma = 1", "no finite value"]),
    # returns
    "no time axis": (lambda: discounted_returns(torch.tensor(1.0), 0.9), ValueError, ["rewards", "time axis", "1.0"]),
    "no steps to sum": (lambda: discounted_returns(torch.ones(2, 0), 0.9), ValueError, ["rewards", "empty", "(2, 0)"]),
    "a NaN reward": (lambda: discounted_returns([1.0, NAN], 0.9), ValueError, ["rewards[1]", "nan"]),
    "returns, gamma 2": (lambda: discounted_returns(ONES, 2), ValueError, ["gamma", "[0.0, 1.0]", "2"]),
    "ended of another shape": (
        lambda: discounted_returns(ONES, 1, ended=TWO),
        ValueError,
        ["rewards (3,)", "ended (2,)"],
    ),
    "values of another shape": (lambda: steps(values=TWO), ValueError, ["rewards (3,)", "values (2,)"]),
    "mask of another shape": (lambda: steps(mask=torch.ones(1, 3)), ValueError, ["rewards (3,)", "mask (1, 3)"]),
    "values as a list": (lambda: steps(values=[1.0, 1.0, 1.0]), TypeError, ["values", "tensor", "list"]),
    "a NaN value": (lambda: steps(values=torch.tensor([1, NAN, 1])), ValueError, ["values[1]", "nan"]),
    "an infinite next value": (lambda: steps(next_values=ONES * math.inf), ValueError, ["next_values[0]", "inf"]),
    "lam 1.5": (lambda: steps(lam=1.5), ValueError, ["lam", "[0.0, 1.0]", "1.5"]),
    "empty gae": (
        lambda: steps(**dict.fromkeys(("rewards", "values", "next_values", "terminated"), torch.ones(0))),
        ValueError,
        ["rewards", "empty", "(0,)"],
    ),
    "whiten a NaN": (lambda: whiten(torch.tensor([1.0, NAN])), ValueError, ["x[1]", "nan"]),
    "whiten nothing": (lambda: whiten(torch.ones(0)), ValueError, ["x", "empty"]),
    # objectives and KL
    "advantages of another shape": (lambda: policy_gradient(ONES, TWO), ValueError, ["logp (3,)", "advantages (2,)"]),
    "logp minus infinity": (lambda: policy_gradient(-math.inf * ONES, ONES), ValueError, ["logp[0]", "-inf"]),
    "clip without old values": (lambda: value_loss(ONES, ONES, clip=0.2), ValueError, ["clip", "values_old", "both"]),
    "clip 0": (lambda: value_loss(ONES, ONES, values_old=ONES, clip=0.0), ValueError, ["clip", "positive", "0.0"]),
    "unknown mean": (lambda: aggregate(ONES, how="mean"), ValueError, ["how", "'token-mean'", "'mean'"]),
    "nothing is real": (lambda: aggregate(ONES, NONE), ValueError, ["mask", "no real step"]),
    "nothing to average": (lambda: aggregate(torch.ones(0)), ValueError, ["x", "empty"]),
    "axis 5": (lambda: aggregate(torch.ones(2, 2), dim=5), ValueError, ["dim", "at most 1", "5"]),
    "sequences without time": (
        lambda: aggregate(torch.ones(2, 2), how="seq-mean-token-sum", dim=0),
        ValueError,
        ["seq-mean-token-sum", "dim=0"],
    ),
    "denominator 0": (lambda: aggregate(ONES, denominator=0), ValueError, ["denominator", "positive", "0"]),
    "explained variance": (lambda: explained_variance(ONES, TWO), ValueError, ["values (3,)", "returns (2,)"]),
    "eps 1.2": (lambda: clipped_surrogate(ONES, ONES, ONES, 1.2), ValueError, ["eps", "between 0 and 1", "1.2"]),
    "trap 12, dual clip below 1": (
        lambda: clipped_surrogate(ONES, ONES, ONES, dual_clip=0.5),
        ValueError,
        ["dual_clip", "greater than 1", "0.5"],
    ),
    "beta -1": (lambda: penalized_surrogate(ONES, ONES, ONES, ONES, -1.0), ValueError, ["beta", "negative", "-1.0"]),
    "KL of different shapes": (lambda: kl.exact(ONES, TWO), ValueError, ["logits_p (3,)", "logits_q (2,)"]),
    "unknown estimate": (lambda: kl.estimate(ONES, ONES, "k4"), ValueError, ["kind", "'k1'", "'k4'"]),
    # policies and trainers
    "observations that are no ids": (
        lambda: TabularPolicy()(torch.ones(3)),
        ValueError,
        ["observations", "integers", "torch.float32"],
    ),
    "a square too far": (lambda: TabularPolicy()(torch.tensor([3, 16])), ValueError, ["observations", "0 to 15", "16"]),
    "a square below 0": (lambda: TabularCritic()(torch.tensor([-1])), ValueError, ["observations", "0 to 15", "-1"]),
    "a square of another seed": (
        lambda: TabularPolicy(seeds=(2,))(torch.tensor([[16], [0]])),
        ValueError,
        ["observations", "0 to 15", "16"],
    ),
    "too few seeds": (
        lambda: TabularPolicy(seeds=(2,))(torch.tensor([1, 1, 1])),
        ValueError,
        ["observations", "(2,)", "(3,)"],
    ),
    "six actions": (
        lambda: whole_episodes(MazeBatch(Maze(), 1), TabularPolicy(16, 6)),
        ValueError,
        ["policy", "4", "(16, 6)"],
    ),
    "not a maze": (
        lambda: first_row(reinforce, "maze", TabularPolicy(), None, ReinforceConfig()),
        TypeError,
        ["env", "Maze", "str"],
    ),
    "a larger maze": (
        lambda: first_row(reinforce, Maze(5), TabularPolicy(), None, ReinforceConfig()),
        ValueError,
        ["0 to 15", "24"],
    ),
    "no episode": (
        lambda: first_row(reinforce, Maze(), TabularPolicy(), None, ReinforceConfig(episodes=0)),
        ValueError,
        ["episodes", "at least 1", "0"],
    ),
    "half an iteration": (
        lambda: first_row(reinforce, Maze(), TabularPolicy(), None, ReinforceConfig(iterations=0.5)),
        ValueError,
        ["iterations", "whole number", "0.5"],
    ),
    "trainer, gamma 2": (
        lambda: first_row(reinforce, Maze(), TabularPolicy(), None, ReinforceConfig(gamma=2.0)),
        ValueError,
        ["gamma", "[0.0, 1.0]", "2.0"],
    ),
    "optimizer": (
        lambda: first_row(reinforce, Maze(), TabularPolicy(), None, ReinforceConfig(optimizer="rmsprop")),
        ValueError,
        ["optimizer", "'adam'", "'rmsprop'"],
    ),
    "three seeds, one policy": (
        lambda: first_row(reinforce, Maze(), TabularPolicy(), None, ReinforceConfig(), seed=range(3)),
        ValueError,
        ["policy", "(16, 4)", "seeds=(3,)"],
    ),
    "three seeds, one critic": (
        lambda: first_row(
            actor_critic, Maze(), TabularPolicy(seeds=(3,)), TabularCritic(), ActorCriticConfig(), seed=range(3)
        ),
        ValueError,
        ["critic", "(16,)", "seeds=(3,)"],
    ),
    "one seed, three policies": (
        lambda: first_row(reinforce, Maze(), TabularPolicy(seeds=(3,)), None, ReinforceConfig()),
        ValueError,
        ["(3,)", "seed"],
    ),
    "no critic": (
        lambda: first_row(actor_critic, Maze(), TabularPolicy(), None, ActorCriticConfig()),
        TypeError,
        ["critic", "TabularCritic()", "reinforce"],
    ),
}


@pytest.mark.parametrize(("call", "error", "words"), CASES.values(), ids=CASES.keys())
def test_the_message_names_the_argument_the_value_and_what_was_expected(call, error, words):
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    for word in words:
        assert re.search(rf"(?<![\w.]){re.escape(word)}(?![\w])", message), f"{word!r} is missing in: {message}"
    assert len(message) < 320, "short enough to be read"


TENSORS = {  # function: its tensor arguments, and the settings it needs
    policy_gradient: (("logp", "advantages"), {}),
    surrogate: (("logp", "logp_old", "advantages"), {}),
    clipped_surrogate: (("logp", "logp_old", "advantages"), {}),
    clip_fraction: (("logp", "logp_old", "advantages"), {}),
    value_loss: (("values", "returns", "values_old"), {"clip": 0.2}),
    kl.estimate: (("logp", "logp_ref"), {"kind": "k3"}),
}


@pytest.mark.parametrize("junk", [NAN, math.inf, -math.inf])
@pytest.mark.parametrize(("function", "name"), [(f, name) for f, (names, _) in TENSORS.items() for name in names])
def test_an_entry_that_is_not_finite_is_named_wherever_it_stands(function, name, junk):
    names, settings = TENSORS[function]
    for others in (ONES, torch.zeros(3)):
        arguments = dict.fromkeys(names, others) | {name: torch.tensor([1.0, 1.0, junk])}
        with pytest.raises(ValueError, match=rf"^{name} .*{name}\[2\] = {junk}"):
            function(**arguments, **settings)


def test_a_good_call_of_each_kind_still_works():
    assert math.isfinite(solve(UNIFORM.tolist(), 1).J)
    assert MazeBatch(Maze(np.int64(4), walls={5}), np.int64(2), seed=np.int64(3)).states.shape == (2,)
    assert MazeBatch(Maze(), 2, seed=np.arange(3)).states.shape == (3, 2)
    assert steps()[0].isfinite().all()
    assert solve(almost_all_up(3.0), 1.0).J < -1000
