"""What a batch of robots writes down: every column is checked against the rules of the maze, step by step."""

import numpy as np
import pytest
import torch
from oracles import plain_maze, random_policy

from ppo_lesson.maze import Maze, MazeBatch
from ppo_lesson.policies import TabularCritic, TabularPolicy
from ppo_lesson.rollout import action_thresholds, fixed_steps, whole_episodes

SETTINGS = {"plain": {}, "walls": {"walls": [5, 6]}, "slippery 5x5": {"size": 5, "slip": 0.3}}
every_maze = pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())


def sixty_steps(envs, policy, critic=None):
    return fixed_steps(envs, policy, 60, critic)


both_ways = pytest.mark.parametrize("collect", [whole_episodes, sixty_steps])


def some_policy(states=16, *seeds):
    policy = TabularPolicy(states, seeds=seeds)
    policy.logits.data = torch.randn_like(policy.logits) / 2
    return policy


def some_critic(states=16, *seeds):
    critic = TabularCritic(states, seeds=seeds)
    critic.table.data = torch.randn_like(critic.table)
    return critic


@every_maze
@both_ways
def test_every_real_step_obeys_the_rules_of_the_maze(settings, collect):
    maze = Maze(**settings, max_steps=40)
    policy, critic = some_policy(maze.n_states), some_critic(maze.n_states)
    r = collect(MazeBatch(maze, 50, seed=3), policy, critic)
    P, _ = plain_maze(**settings)
    for b, t in r.mask.nonzero().tolist():
        s, a, there = (x[b, t].item() for x in (r.observations, r.actions, r.next_observations))
        assert P[s, a, there] > 0
        assert r.rewards[b, t].item() == (1.0 if there == maze.goal else -1.0 if there == s else -0.1)
        assert r.terminated[b, t].item() == (there == maze.goal)
    real = r.mask
    logp = policy(r.observations).log_prob(r.actions).detach()
    assert torch.allclose(r.logp[real], logp[real], atol=1e-12)
    assert torch.equal(r.values, critic.table[r.observations])
    assert torch.equal(r.next_values, critic.table[r.next_observations])
    assert not (r.terminated & r.truncated).any() and not (r.ended & ~real).any()


@every_maze
def test_whole_episodes_begin_at_the_start_run_to_their_end_and_leave_no_gap(settings):
    maze = Maze(**settings, max_steps=25)
    r = whole_episodes(MazeBatch(maze, 200, seed=0), some_policy(maze.n_states))
    assert (r.observations[:, 0] == maze.start).all()
    assert (r.ended.sum(1) == 1).all(), "one episode each"
    length = r.mask.sum(1)
    steps = torch.arange(r.mask.shape[1])
    assert torch.equal(r.mask, steps < length[:, None])
    assert r.ended[torch.arange(200), length - 1].all(), "the episode ends on the last real step"
    assert r.mask.shape[1] == length.max(), "not longer than the longest"
    chained = r.mask[:, 1:]
    assert torch.equal(r.observations[:, 1:][chained], r.next_observations[:, :-1][chained])
    cut = r.truncated.any(1)
    assert cut.any() and (~cut).any() and (length[cut] == 25).all()
    assert not r.rewards[~r.mask].any()
    assert torch.allclose(r.episode_returns.sum(1), (r.rewards * r.mask).sum(1))
    assert not r.episode_returns[~r.ended].any()
    assert r.return_mean().item() == pytest.approx((r.rewards.sum() / 200).item())


@every_maze
def test_fixed_steps_go_on_where_they_stopped_and_start_anew_after_an_end(settings):
    maze = Maze(**settings, max_steps=20)
    policy, envs = some_policy(maze.n_states), MazeBatch(maze, 100, seed=0)
    first, second = fixed_steps(envs, policy, 30), fixed_steps(envs, policy, 30)
    assert first.mask.all() and first.mask.shape == (100, 30)
    columns = [name for name, x in vars(first).items() if x is not None]
    joined = {name: torch.cat([getattr(first, name), getattr(second, name)], 1).numpy() for name in columns}
    ended = joined["terminated"] | joined["truncated"]
    following = np.where(ended, maze.start, joined["next_observations"])
    assert (joined["observations"][:, 1:] == following[:, :-1]).all()
    for b in range(100):
        age, total = 0, 0.0
        for t in range(60):
            age, total = age + 1, total + joined["rewards"][b, t]
            assert joined["truncated"][b, t] == (age == 20 and not joined["terminated"][b, t])
            assert joined["episode_returns"][b, t] == pytest.approx(total if ended[b, t] else 0)
            if ended[b, t]:
                age, total = 0, 0.0
    assert joined["terminated"].any() and joined["truncated"].any()


def test_return_mean_is_nan_where_no_episode_ended():
    r = fixed_steps(MazeBatch(Maze(), 4, seed=[0, 1]), some_policy(16, 2), 3)
    assert r.return_mean().isnan().tolist() == [True, True]


@both_ways
@pytest.mark.parametrize("slip", [0.0, 0.3])
def test_seed_3_of_16_collects_what_seed_3_alone_collects(collect, slip):
    maze, probs = Maze(slip=slip, max_steps=30), torch.tensor(np.stack([random_policy(s) for s in range(16)]))
    policy, alone = TabularPolicy(seeds=(16,)), TabularPolicy()
    policy.logits.data, alone.logits.data = probs.log(), probs[3].log()
    many, envs = MazeBatch(maze, 20, seed=range(16)), MazeBatch(maze, 20, seed=3)
    for _ in range(2):
        r, one = collect(many, policy), collect(envs, alone)
        T = one.mask.shape[1]
        assert torch.equal(r.mask[3, :, :T], one.mask) and not r.mask[3, :, T:].any()
        for name in ("observations", "actions", "rewards", "terminated", "truncated", "next_observations"):
            assert torch.equal(getattr(r, name)[3, :, :T][one.mask], getattr(one, name)[one.mask]), name
        assert torch.allclose(r.logp[3, :, :T][one.mask], one.logp[one.mask], atol=1e-12)


@both_ways
def test_different_seeds_walk_differently(collect):
    r = collect(MazeBatch(Maze(), 2, seed=range(64)), TabularPolicy(seeds=(64,)))
    assert len({tuple(row) for row in r.actions[:, 0, :20].tolist()}) == 64


def test_an_action_without_probability_is_never_taken():
    policy = TabularPolicy()
    policy.logits.data[:, 0] = policy.logits.data[:, 2] = -torch.inf
    r = fixed_steps(MazeBatch(Maze(), 4096, seed=0), policy, 30)
    assert set(r.actions.unique().tolist()) == {1, 3}
    thresholds, ends = action_thresholds(policy.probs), torch.tensor([0.0, 1 - 2**-24])  # the smallest and largest u
    assert MazeBatch(Maze(), 2).sample(thresholds, ends).tolist() == [1, 3]
    assert torch.allclose(r.logp, torch.full_like(r.logp, -np.log(2)))
