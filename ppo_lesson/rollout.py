"""Experience: what the robots saw, did and got, as (..., T) tensors. Here from a `MazeBatch`.

REINFORCE needs the returns of `whole_episodes`; actor-critic and PPO do with `fixed_steps`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Categorical

from . import validate
from .returns import gae


@dataclass
class Rollout:
    """One batch of experience; every tensor is (..., T): leading axes seeds and robots, time last.

    logp: log-probability of the action under the policy that collected it. values, next_values: the critic's opinion of
    each state and of the true next one (before any reset); None without a critic. terminated and truncated are set on
    the step that ends an episode, never both. mask: true on real steps. episode_returns: on the last step of an
    episode, the plain sum of its rewards; elsewhere 0.
    """

    observations: Tensor
    actions: Tensor
    logp: Tensor
    rewards: Tensor
    terminated: Tensor
    truncated: Tensor
    mask: Tensor
    next_observations: Tensor
    episode_returns: Tensor
    values: Tensor | None = None
    next_values: Tensor | None = None

    @property
    def ended(self) -> Tensor:
        """The steps that are the last of their episode."""
        return self.terminated | self.truncated

    def gae(self, gamma: float, lam: float) -> tuple[Tensor, Tensor]:
        """Advantages and returns of these steps, by `returns.gae`; needs a critic's values."""
        ends = {"terminated": self.terminated, "truncated": self.truncated, "mask": self.mask}
        return gae(self.rewards, self.values, self.next_values, **ends, gamma=gamma, lam=lam)

    def return_mean(self, axes=(-2, -1)) -> Tensor:
        """Mean undiscounted return of the episodes that ended here, one number a seed; NaN where none did."""
        return self.episode_returns.sum(axes) / self.ended.sum(axes)


@torch.no_grad()
def whole_episodes(envs, policy, critic=None) -> Rollout:
    """Every robot walks one episode from the start. T = the longest (at most `max_steps`); the rest is masked."""
    maze, probs = envs.maze, policy_probs(policy, envs)
    thresholds, draws = action_thresholds(probs), envs.draws(maze.max_steps)
    envs.reset()
    states, columns = envs.states, []
    for t, u in enumerate(draws):
        if t % 8 == 0 and bool((states == maze.goal).all()):
            break
        action = envs.sample(thresholds, u[0], states)
        direction = envs.executed(action, u[-1])
        columns.append((states, action, direction))
        states = envs.next_state[states * 4 + direction]  # a robot at the goal stays there
    last = max(1, sum(bool((seen != maze.goal).any()) for seen, *_ in columns))  # steps before all had arrived
    observations, actions, executed = (torch.stack(column, -1) for column in zip(*columns[:last]))  # (..., last)
    index = observations * 4 + executed
    arrived, rewards, mask = envs.next_state[index], envs.move_reward[index], observations != maze.goal
    terminated = mask & (arrived == maze.goal)
    truncated = mask & ~terminated
    truncated[..., : maze.max_steps - 1] = False
    returns = torch.where(terminated | truncated, rewards.cumsum(-1), 0)
    return _finish(probs, critic, observations, actions, rewards, terminated, truncated, mask, arrived, returns)


@torch.no_grad()
def fixed_steps(envs, policy, steps: int, critic=None) -> Rollout:
    """Every robot takes `steps` steps from where it stands; one that ends an episode starts anew. Mask all true."""
    probs = policy_probs(policy, envs)
    thresholds = action_thresholds(probs)
    columns, real = [], torch.ones_like(envs.states, dtype=torch.bool)
    for u in envs.draws(validate.integer("steps", steps, 1)):
        observed = envs.states
        action = envs.sample(thresholds, u[0])
        arrived, reward, terminated, truncated = envs.step(action, u[-1])
        columns.append((observed, action, reward, terminated, truncated, real, arrived, envs.finished_returns))
    return _finish(probs, critic, *(torch.stack(column, -1) for column in zip(*columns)))


def policy_probs(policy, envs) -> Tensor:
    """The policy's probabilities on every square, (*seeds, S, 4): asked once, for collecting does not change it."""
    states = torch.arange(envs.maze.n_states).expand(*envs.seeds, -1)
    wanted, given = (*states.shape, envs.maze.n_actions), policy(states)
    got = tuple(given.probs.shape) if isinstance(given, Categorical) else type(given).__name__
    validate.require(got == wanted, ValueError, "numbers", "table", envs.maze.n_actions, wanted, got)
    return given.probs.detach()


def action_thresholds(probs: Tensor) -> Tensor:
    """Cumulative probabilities of the first three actions, (..., S, 4) -> (3, rows): all seeds' squares in one line."""
    return probs.detach().reshape(-1, 4).cumsum(-1)[:, :3].T.float().contiguous()


def _finish(probs, critic, observations, actions, rewards, terminated, truncated, mask, arrived, returns) -> Rollout:
    """Put the columns together and add what can be computed for all steps at once."""
    seeds, cells = probs.shape[:-2], probs.shape[-2:].numel()
    first = torch.arange(seeds.numel()).view(*seeds, *[1] * (observations.ndim - len(seeds))) * cells
    logp = probs.log().flatten()[observations * probs.shape[-1] + actions + first]
    values = () if critic is None else (critic(observations), critic(arrived))
    return Rollout(observations, actions, logp, rewards, terminated, truncated, mask, arrived, returns, *values)
