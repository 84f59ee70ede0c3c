"""Steps whose weight is always 0, actions that no table has, and checkpoints that hide every end: refused by name."""

import threading

import gymnasium
import pytest
import torch
from gymnasium.vector import SyncVectorEnv

from ppo_lesson.cartpole import CartPole
from ppo_lesson.language.settings import RLHFConfig
from ppo_lesson.maze import Maze, MazeBatch
from ppo_lesson.policies import MLPCritic, MLPPolicy, TabularCritic, TabularPolicy
from ppo_lesson.ppo import PPOConfig, ppo
from ppo_lesson.reinforce import ActorCriticConfig, ReinforceConfig, actor_critic, reinforce
from ppo_lesson.trpo import TRPOConfig, trpo, trpo_step
from ppo_lesson.vector import VectorBatch, evaluate

SMALL = {"lr": 1e-3, "critic_lr": 1e-3}
SINGLE = {  # trainer and settings with a single step in some mini-batch
    "ppo": (ppo, PPOConfig(robots=1, steps=1)),
    "ppo, as many parts as steps": (ppo, PPOConfig(robots=2, steps=8, minibatches=16)),
    "ppo, uneven parts": (ppo, PPOConfig(robots=1, steps=3, minibatches=2)),
    "ppo, 24 in 20": (ppo, PPOConfig(robots=3, steps=8, minibatches=20)),
    "trpo": (trpo, TRPOConfig(robots=1, steps=1)),
    "actor_critic": (actor_critic, ActorCriticConfig(robots=1, steps=1)),
}


@pytest.mark.parametrize(("trainer", "config"), SINGLE.values(), ids=SINGLE)
def test_a_mini_batch_of_one_step_has_no_weight_and_is_refused(trainer, config):
    policy = TabularPolicy()
    with pytest.raises(ValueError, match=r"minibatches=\d+ of \d+ steps .* a single step, whose whitened weight is "):
        next(trainer(Maze(), policy, TabularCritic(), config, seed=0))
    assert not policy.logits.any()


@pytest.mark.parametrize(
    ("trainer", "config"),
    [
        (ppo, PPOConfig(robots=1, steps=1, iterations=3, whiten=False)),
        (ppo, PPOConfig(robots=2, steps=2, minibatches=2, iterations=3)),
        (trpo, TRPOConfig(robots=2, steps=1, iterations=3)),
        (actor_critic, ActorCriticConfig(robots=1, steps=1, iterations=3, whiten=False)),
        (reinforce, ReinforceConfig(episodes=1, iterations=3, critic_lr=0.3)),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_the_smallest_that_has_weights_moves_the_policy(trainer, config):
    policy = TabularPolicy()
    for _ in trainer(Maze(), policy, None if trainer is reinforce else TabularCritic(), config, seed=0):
        pass
    assert policy.logits.any()


def test_a_reply_of_one_token_alone_is_refused_and_a_batch_of_them_is_not():
    with pytest.raises(ValueError, match=r"batch=1 .*max_new_tokens=1 .*single token, whose whitened advantage is "):
        RLHFConfig(batch=1, minibatches=1, max_new_tokens=1)
    RLHFConfig(batch=1, minibatches=1, max_new_tokens=1, whiten_advantages=False)
    RLHFConfig(batch=2, minibatches=1, max_new_tokens=1)
    RLHFConfig(batch=1, minibatches=1, max_new_tokens=2)


OUTSIDE = [[4, 0], [-1, 0], [1.5, 0.0], [1.0, 2.0], [float("nan"), 0.0], [2**40, 0]]


@pytest.mark.parametrize("actions", OUTSIDE, ids=str)
@pytest.mark.parametrize("policy", [TabularPolicy(3, 4), MLPPolicy(3, 4)], ids=lambda x: type(x).__name__)
def test_an_action_that_the_table_does_not_have_is_no_neighbours_number(policy, actions):
    actions = torch.tensor(actions)
    with pytest.raises(ValueError, match=r"actions must be whole numbers from 0 to 3, this table's; got "):
        policy(torch.tensor([0, 1])).log_prob(actions)
    with pytest.raises(ValueError, match="actions must be whole numbers"):
        trpo_step(policy, torch.tensor([0, 1]), actions, torch.tensor([1.0, 2.0]))


@pytest.mark.parametrize("actions", [[2, 0], [-1, 0]], ids=str)
def test_nor_one_of_a_network_on_real_observations(actions):
    with pytest.raises(RuntimeError, match="out of bounds"):
        MLPPolicy(4, 2)(torch.zeros(2, 4)).log_prob(torch.tensor(actions))


@pytest.mark.parametrize("actions", [1, 3, 5])
@pytest.mark.parametrize("env", [CartPole, Maze])
def test_a_policy_of_too_many_or_too_few_actions_is_refused(env, actions):
    inputs = 4 if env is CartPole else 16
    with pytest.raises(ValueError, match=r"policy must give [24] probabilities for each state, shape .*; got "):
        next(ppo(env(), MLPPolicy(inputs, actions), MLPCritic(inputs), PPOConfig(**SMALL), seed=0))


def test_robots_in_the_maze_have_four_actions_too():
    for actions in ([4, 0, 1], [-1, 0, 1], [0, 1]):
        with pytest.raises(ValueError, match="actions must be 0, 1, 2 or 3, one for each robot"):
            MazeBatch(Maze(), 3, seed=0).step(torch.tensor(actions))


@pytest.mark.parametrize("seed", [0, range(2)], ids=str)
@pytest.mark.parametrize("env", [CartPole, Maze])
def test_checkpoints_that_hide_every_end_are_refused_in_our_own_environments_too(env, seed):
    inputs = 4 if env is CartPole else 16
    networks = MLPPolicy(inputs, 2 if env is CartPole else 4, seed=seed), MLPCritic(inputs, seed=seed)
    config = PPOConfig(iterations=4, robots=2, steps=2, checkpoint_every=1, **SMALL)
    with pytest.raises(ValueError, match=r"no episode has ended in checkpoint_every=1 iterations of steps=2"):
        list(ppo(env(), *networks, config, seed=seed))


def test_trpo_and_an_evaluation_in_two_threads_are_those_of_each_alone():
    def run(seed):
        env = gymnasium.make_vec("CartPole-v1", num_envs=2)
        policy = MLPPolicy(4, 2, hidden=(8,))
        rows = list(trpo(env, policy, MLPCritic(4, hidden=(8,)), TRPOConfig(iterations=3, critic_lr=1e-3), seed=seed))
        return rows, evaluate(env, policy, episodes=4, seed=seed + 7).tolist()

    alone, found = [run(seed) for seed in (1, 2)], {}
    threads = [threading.Thread(target=lambda seed=seed: found.update({seed: run(seed)})) for seed in (1, 2)]
    state = torch.random.get_rng_state()
    [t.start() for t in threads], [t.join() for t in threads]
    assert [found[1], found[2]] == alone
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("wrap", [lambda env: env, gymnasium.wrappers.vector.RecordEpisodeStatistics])
def test_copies_of_seeds_beside_each_other_begin_apart_under_wrappers_too(wrap):
    def starts(seed):
        env = wrap(SyncVectorEnv([lambda: gymnasium.make("Pendulum-v1")] * 16))
        return {tuple(x) for x in VectorBatch(env, seed=seed).observations.tolist()}

    found = [starts(seed) for seed in range(5)]
    assert len(set().union(*found)) == 5 * 16, "all 80 are different"


def test_a_box_of_one_point_is_refused_and_a_probe_with_one_action_is_not():
    """Nothing can be learned where every action is the same number; one Discrete action still lets a critic learn."""

    class Probe(gymnasium.Env):
        observation_space = gymnasium.spaces.Discrete(1)

        def __init__(self, actions):
            self.action_space = actions

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return 0, {}

        def step(self, action):
            return 0, 1.0, True, False, {}

    point = SyncVectorEnv([lambda: Probe(gymnasium.spaces.Box(2.0, 2.0, (1,)))] * 2)
    with pytest.raises(ValueError, match="leave nothing to choose"):
        VectorBatch(point, seed=0)
    one = SyncVectorEnv([lambda: Probe(gymnasium.spaces.Discrete(1))] * 4)
    critic = TabularCritic(1)
    list(ppo(one, TabularPolicy(1, 1), critic, PPOConfig(iterations=60, steps=8, critic_lr=0.1), seed=0))
    assert abs(critic.table.item() - 1) < 0.05
