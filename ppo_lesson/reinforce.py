"""Policy gradients with one step a rollout: REINFORCE (Williams 1992) and actor-critic (Sutton and Barto 2018).

    for row in reinforce(Maze(), policy, critic, ReinforceConfig(), seed=0):
        print(row["iteration"], row["return_mean"])

The policy you pass in is the one that learns. `seed=0` trains one robot and yields plain numbers; `seed=range(64)` with
`TabularPolicy(seeds=(64,))` trains 64 of them at once and yields arrays of 64: row k is what seed k alone would give.
A diagnostic that is not defined (no critic, no episode ended) is absent, or NaN for some of many seeds; never 0.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .loop import PER_SEED, check_common, critic_step, finish_row, make_envs, optimizer_step
from .maze import Maze
from .objectives import aggregate, policy_gradient
from .returns import discounted_returns, whiten
from .rollout import whole_episodes
from .validate import helpful, require


@helpful
@dataclass(frozen=True)
class ReinforceConfig:
    """`iterations` updates of `episodes` whole episodes each. optimizer: "adam" or "sgd".

    whiten: scale the weights of a batch to mean 0 and standard deviation 1. discount_states: keep the gamma^t that
    practice drops. critic_lr: used only with a critic.
    """

    iterations: int = 60
    episodes: int = 8
    lr: float = 0.3
    gamma: float = 0.99
    optimizer: str = "adam"
    whiten: bool = True
    discount_states: bool = False
    critic_lr: float = 0.3


@helpful
@dataclass(frozen=True)
class ActorCriticConfig:
    """`iterations` updates of robots x steps steps each. lam 0: the one-step TD error is the advantage."""

    iterations: int = 100
    robots: int = 8
    steps: int = 16
    lr: float = 0.1
    critic_lr: float = 0.1
    gamma: float = 0.99
    lam: float = 0.0
    optimizer: str = "adam"
    whiten: bool = True


def reinforce(
    env: Maze, policy: nn.Module, critic: nn.Module | None, config: ReinforceConfig, *, seed: int | Sequence[int]
) -> Iterator[dict]:
    """REINFORCE (Williams 1992): raise log pi(a|s) in proportion to the return that followed, G_t, or to G_t - V(s_t).

        objective = mean over episodes of sum_t log pi(a_t|s_t) * weight_t

    env: a `Maze`. critic: a learned baseline, or None. seed: an int, or one int for each of the policy's seeds.
    An episode cut off at `max_steps` counts with the rewards it got; nothing is added for what would have followed.
    """
    envs, optimizer, critic_optimizer = _prepare(env, policy, critic, config, "episodes", seed)
    steps = 0
    for iteration in range(config.iterations):
        rollout = whole_episodes(envs, policy, critic)
        returns = discounted_returns(rollout.rewards, config.gamma, ended=rollout.ended)
        weights = returns if critic is None else returns - rollout.values
        if config.whiten:
            weights = whiten(weights, rollout.mask, dim=PER_SEED)
        if config.discount_states:
            weights = weights * config.gamma ** torch.arange(weights.shape[-1], dtype=torch.float32)
        row = {"iteration": iteration} | _policy_step(policy, optimizer, rollout, weights, "seq-mean-token-sum", config)
        if critic is not None:
            row |= critic_step(critic, critic_optimizer, rollout, returns, config)
        steps = steps + rollout.mask.sum(PER_SEED)
        yield finish_row(row | {"lr": config.lr}, steps, rollout, config)


def actor_critic(
    env: Maze, policy: nn.Module, critic: nn.Module, config: ActorCriticConfig, *, seed: int | Sequence[int]
) -> Iterator[dict]:
    """Actor-critic (Sutton and Barto 2018, sec. 13.5, in batches): the critic's TD error is the advantage.

        objective = mean over steps of log pi(a_t|s_t) * A_t          critic: 1/2 (V(s_t) - R_t)^2, R_t = A_t + V(s_t)

    env: a `Maze`. seed: an int, or one int for each of the policy's seeds.
    """
    require(critic is not None, TypeError, "run", "no critic for it")
    envs, optimizer, critic_optimizer = _prepare(env, policy, critic, config, "robots", seed)
    steps = 0
    for iteration in range(config.iterations):
        rollout = envs.collect(policy, config.steps, critic)
        advantages, returns = rollout.gae(config.gamma, config.lam)
        weights = whiten(advantages, dim=PER_SEED) if config.whiten else advantages
        row = {"iteration": iteration} | _policy_step(policy, optimizer, rollout, weights, "token-mean", config)
        row |= critic_step(critic, critic_optimizer, rollout, returns, config)
        steps = steps + rollout.mask.sum(PER_SEED)
        yield finish_row(row | {"lr": config.lr}, steps, rollout, config)


@torch.enable_grad()
def _policy_step(policy, optimizer, rollout, weights: Tensor, how: str, config) -> dict:
    distribution = policy(rollout.observations)
    logp = distribution.log_prob(rollout.actions)
    loss = -aggregate(policy_gradient(logp, weights), rollout.mask, how, dim=PER_SEED)
    entropy = aggregate(distribution.entropy().detach(), rollout.mask, dim=PER_SEED)  # of the policy that collected
    length = optimizer_step("policy", policy, optimizer, loss, config)
    return {"policy_loss": loss.detach(), "entropy": entropy, "grad_norm": length}


def _prepare(env, policy, critic, config, robots: str, seed) -> tuple:
    """The mazes, once all is checked, and an optimizer for each network, of the kind that config names."""
    require(isinstance(env, Maze), TypeError, "run", "no maze", type(env).__name__)
    envs = make_envs(env, config, seed, robots)
    check_common(envs, policy, critic, config)
    make = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[config.optimizer]
    own = None if critic is None else make(critic.parameters(), lr=config.critic_lr)
    return envs, make(policy.parameters(), lr=config.lr), own
