"""The frozen batch of the golden trace: one rollout of 8 robots, and everything that one update of PPO needs with it.

Exercise `ppo_update` is held against it, and so is the trainer. Left out: the trace itself, data/golden_trace.json.
"""

import torch

from ppo_lesson.maze import Maze, MazeBatch
from ppo_lesson.policies import TabularCritic, TabularPolicy
from ppo_lesson.ppo import PPOConfig
from ppo_lesson.rollout import Rollout, fixed_steps

from ..check.rows import read


class NamedAdam(torch.optim.Adam):
    """torch's Adam with a short name, for the lines that a check prints."""

    def __repr__(self):
        return f"Adam(lr={self.defaults['lr']}, eps={self.defaults['eps']})"


class NamedRollout(Rollout):
    """A rollout with a short name."""

    def __repr__(self):
        return "Rollout of {} robots x {} steps".format(*self.actions.shape)


FROZEN, OTHER = (PPOConfig(**{"target_kl": None} | settings) for settings in read("frozen_batch").values())


def frozen(config=FROZEN, seed=0):
    """(policy, critic, optimizer, rollout, config, generator): the same numbers at every call."""
    g = torch.Generator().manual_seed(seed)
    policy, critic = TabularPolicy(), TabularCritic()
    policy.logits.data.copy_(torch.randn(16, 4, generator=g, dtype=torch.float64))
    critic.table.data.copy_(torch.randn(16, generator=g, dtype=torch.float64) - 1)
    walked = fixed_steps(MazeBatch(Maze(), config.robots, seed=seed), policy, config.steps, critic)
    optimizer = NamedAdam([*policy.parameters(), *critic.parameters()], lr=config.lr, eps=1e-5)
    return policy, critic, optimizer, NamedRollout(**vars(walked)), config, torch.Generator().manual_seed(seed)
