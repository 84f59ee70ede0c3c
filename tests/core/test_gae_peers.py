"""GAE against another library: Stable-Baselines3's buffer, on random experience, truncation folded in its own way.

SB3 keeps one flag per step, "an episode starts here", and no value of the square where an episode was cut: its
collector adds gamma * V(that square) to the reward of a truncated step (`on_policy_algorithm.py`). Ours keeps two flags
and every true next value. Both must give the same advantages and returns.
"""

import numpy as np
import pytest
import torch

from ppo_lesson.maze import Maze, MazeBatch
from ppo_lesson.policies import TabularCritic, TabularPolicy
from ppo_lesson.returns import gae
from ppo_lesson.rollout import fixed_steps

buffers = pytest.importorskip("stable_baselines3.common.buffers", reason="the extra [test] installs it")
spaces = pytest.importorskip("gymnasium.spaces")


def by_stable_baselines(rewards, values, next_values, terminated, truncated, gamma, lam):
    """(B, T) tensors -> advantages and returns (B, T), computed by SB3's buffer of B environments and T steps."""
    B, T = rewards.shape
    buffer = buffers.RolloutBuffer(
        T, spaces.Box(-1, 1, (1,)), spaces.Discrete(4), device="cpu", gae_lambda=lam, gamma=gamma, n_envs=B
    )
    ended = (terminated | truncated).numpy()
    paid = (rewards + gamma * next_values * truncated).numpy()
    for t in range(T):
        starts = ended[:, t - 1] if t else np.zeros(B)
        buffer.add(np.zeros((B, 1)), np.zeros((B, 1)), paid[:, t], starts, values[:, t], torch.zeros(B))
    buffer.compute_returns_and_advantage(last_values=next_values[:, -1], dones=ended[:, -1])
    return torch.tensor(buffer.advantages.T), torch.tensor(buffer.returns.T)


def agree(experience, gamma, lam):
    """Ours in float64, theirs in float32."""
    theirs = by_stable_baselines(*experience, gamma, lam)
    r, v, nv, terminated, truncated = experience
    ours = gae(r, v, nv, terminated=terminated, truncated=truncated, gamma=gamma, lam=lam)
    return all(torch.allclose(a.float(), b, rtol=1e-5, atol=1e-4) for a, b in zip(ours, theirs))


@pytest.mark.parametrize("lam", [0.0, 0.5, 0.95, 1.0])
@pytest.mark.parametrize("gamma", [0.0, 0.9, 1.0])
def test_random_experience(gamma, lam):
    B, T = 7, 40
    r, v, nv = (torch.randn(B, T).double() for _ in range(3))
    terminated = torch.rand(B, T) < 0.1
    truncated = (torch.rand(B, T) < 0.1) & ~terminated
    nv[:, :-1] = torch.where((terminated | truncated)[:, :-1], nv[:, :-1], v[:, 1:])  # else the next step's own value
    assert agree((r, v, nv, terminated, truncated), gamma, lam)


@pytest.mark.parametrize("limit", [12, 100])
def test_experience_of_the_maze(limit):
    policy, critic = TabularPolicy(), TabularCritic()
    policy.logits.data, critic.table.data = torch.randn(16, 4).double(), torch.randn(16).double()
    steps = fixed_steps(MazeBatch(Maze(max_steps=limit), 32, seed=3), policy, 50, critic)
    flags = steps.terminated, steps.truncated
    assert all(flag.sum() > 10 for flag in (flags if limit == 12 else flags[:1]))
    experience = (steps.rewards, steps.values.detach(), steps.next_values.detach(), *flags)
    assert agree(experience, 0.99, 0.95)
    if limit == 12:  # the same test notices truncation that was taken for the end
        wrong = (*experience[:3], flags[0] | flags[1], torch.zeros_like(flags[1]))
        right = by_stable_baselines(*experience, 0.99, 0.95)[0]
        assert not torch.allclose(by_stable_baselines(*wrong, 0.99, 0.95)[0], right, atol=0.1)
