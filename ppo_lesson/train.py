"""The trainers: generators that yield one dict of diagnostics per iteration, so that you can plot, stop or inspect.

    for row in reinforce(Maze(), policy, None, ReinforceConfig(), seed=0):
        print(row["iteration"], row["return_mean"])

The policy you pass in is the one that learns. `seed=0` trains one robot and yields plain numbers; `seed=range(64)` with
`TabularPolicy(seeds=(64,))` trains 64 of them at once and yields arrays of 64: row k is what seed k alone would give.
A diagnostic that is not defined (no critic, no episode ended) is absent, or NaN for some of many seeds; never 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from numbers import Integral

import torch
from torch import Tensor, nn

from . import validate
from .maze import Maze, MazeBatch
from .normalize import RewardScale, observe
from .objectives import aggregate, explained_variance, policy_gradient, value_loss
from .returns import discounted_returns, whiten
from .rollout import Rollout, fixed_steps, whole_episodes
from .trpo import trpo_step
from .vector import VectorBatch, vector_steps

PER_SEED = (-2, -1)  # robots and time: the axes that one training averages over


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
    batch = prepare(env, policy, critic, config, "episodes", seed)
    optimizer, critic_optimizer = _optimizers(policy, critic, config)
    steps = 0
    for iteration in range(config.iterations):
        rollout = whole_episodes(batch, policy, critic)
        returns = discounted_returns(rollout.rewards, config.gamma, ended=rollout.ended)
        weights = returns if critic is None else returns - rollout.values
        if config.whiten:
            weights = whiten(weights, rollout.mask, dim=PER_SEED)
        if config.discount_states:
            weights = weights * config.gamma ** torch.arange(weights.shape[-1])
        row = {"iteration": iteration}
        row |= _policy_step(policy, optimizer, rollout, weights, "seq-mean-token-sum", config)
        if critic is not None:
            row |= _critic_step(critic, critic_optimizer, rollout, returns, config)
            row["explained_variance"] = explained_variance(rollout.values, returns, rollout.mask, dim=PER_SEED)
        steps = steps + rollout.mask.sum(PER_SEED)
        yield finish_row(row | {"lr": config.lr}, steps, rollout, config)


def actor_critic(
    env: Maze, policy: nn.Module, critic: nn.Module, config: ActorCriticConfig, *, seed: int | Sequence[int]
) -> Iterator[dict]:
    """Actor-critic (Sutton and Barto 2018, sec. 13.5, in batches): the critic's TD error is the advantage.

        objective = mean over steps of log pi(a_t|s_t) * A_t          critic: 1/2 (V(s_t) - R_t)^2, R_t = A_t + V(s_t)

    env: a `Maze`. seed: an int, or one int for each of the policy's seeds.
    """
    if critic is None:
        raise TypeError("actor_critic needs a critic, for example TabularCritic(); without one use reinforce")
    batch = prepare(env, policy, critic, config, "robots", seed)
    optimizer, critic_optimizer = _optimizers(policy, critic, config)
    steps = 0
    for iteration in range(config.iterations):
        rollout = fixed_steps(batch, policy, config.steps, critic)
        advantages, returns = rollout.gae(config.gamma, config.lam)
        weights = whiten(advantages, dim=PER_SEED) if config.whiten else advantages
        row = {"iteration": iteration}
        row |= _policy_step(policy, optimizer, rollout, weights, "token-mean", config)
        row |= _critic_step(critic, critic_optimizer, rollout, returns, config)
        row["explained_variance"] = explained_variance(rollout.values, returns, rollout.mask, dim=PER_SEED)
        steps = steps + rollout.mask.sum(PER_SEED)
        yield finish_row(row | {"lr": config.lr}, steps, rollout, config)


@dataclass(frozen=True)
class TRPOConfig:
    """`iterations` updates of robots x steps steps; the critic takes critic_steps Adam steps after each.

    robots: in the maze; a vector environment brings its own number. damping: 0.1 for networks.
    normalize_rewards: divide rewards by the running spread of the return; for vector environments.
    """

    iterations: int = 24
    robots: int = 16
    steps: int = 8
    delta: float = 0.01
    damping: float = 1e-3
    critic_lr: float = 0.1
    critic_steps: int = 10
    gamma: float = 0.99
    lam: float = 0.95
    normalize_rewards: bool = False


def trpo(env, policy: nn.Module, critic: nn.Module, config: TRPOConfig, *, seed: int) -> Iterator[dict]:
    """Trust region policy optimization (Schulman et al. 2015), one `trpo_step` an iteration; one seed.

    env: a `Maze`, or a `gymnasium.vector.VectorEnv`.
    Rows add what `trpo_step` reports: accepted, kl, kl_before_line_search, surrogate_gain, step_fraction.
    """
    if not isinstance(seed, Integral):
        raise TypeError(f"trpo trains one policy: seed must be an int; got {seed!r}")
    batch = make_batch(env, config, seed)
    check_common(batch, policy, critic, config)
    optimizer = torch.optim.Adam(critic.parameters(), lr=config.critic_lr)
    scale_rewards = RewardScale(config.gamma) if config.normalize_rewards else None
    for iteration in range(config.iterations):
        rollout = collect(batch, policy, config.steps, critic)
        if scale_rewards is not None:
            rollout.rewards = scale_rewards(rollout.rewards, rollout.ended, rollout.mask)
        advantages, returns = rollout.gae(config.gamma, config.lam)
        weights = whiten(advantages, rollout.mask)
        flat = [x[rollout.mask] for x in (rollout.observations, rollout.actions, weights)]  # (n, ...)
        row = {"iteration": iteration} | trpo_step(policy, *flat, delta=config.delta, damping=config.damping)
        for _ in range(config.critic_steps):
            row |= _critic_step(critic, optimizer, rollout, returns, config)
        row["explained_variance"] = explained_variance(rollout.values, returns, rollout.mask, dim=PER_SEED)
        row["entropy"] = policy(flat[0]).entropy().mean().detach()
        observe(flat[0], policy, critic)
        yield finish_row(row, torch.tensor((iteration + 1) * batch.n * config.steps), rollout, config)


# ---- one step of each network ----------------------------------------------------------------------------------


@torch.enable_grad()
def _policy_step(policy, optimizer, rollout, weights: Tensor, how: str, config) -> dict:
    _still_held("policy", policy, optimizer)
    distribution = policy(rollout.observations)
    logp = distribution.log_prob(rollout.actions)
    loss = -aggregate(policy_gradient(logp, weights), rollout.mask, how, dim=PER_SEED)
    optimizer.zero_grad()
    loss.sum().backward()  # seeds share no parameter, so the sum keeps them apart
    gradients = grad_norm(policy, loss.shape)
    optimizer.step()
    stop_if_diverged(config, policy=nn.utils.parameters_to_vector(policy.parameters()))
    entropy = aggregate(distribution.entropy().detach(), rollout.mask, dim=PER_SEED)
    return {"policy_loss": loss.detach(), "entropy": entropy, "grad_norm": gradients}


@torch.enable_grad()
def _critic_step(critic, optimizer, rollout, returns: Tensor, config) -> dict:
    _still_held("critic", critic, optimizer)
    values = critic(rollout.observations)
    loss = aggregate(value_loss(values, returns), rollout.mask, dim=PER_SEED)
    optimizer.zero_grad()
    loss.sum().backward()
    optimizer.step()
    stop_if_diverged(config, critic=nn.utils.parameters_to_vector(critic.parameters()))
    return {"value_loss": loss.detach()}


def _still_held(name: str, module, optimizer) -> None:
    """RuntimeError if parameters were replaced while the run was alive: the optimizer would go on with the old ones."""
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    if any(p.requires_grad and id(p) not in held for p in module.parameters()):
        raise RuntimeError(
            f"a parameter of {name} was replaced while the run was alive, as load_state_dict(assign=True) does: no "
            f"step would reach it. Set values with load_state_dict(values), or p.copy_(value) under torch.no_grad()"
        )


def grad_norm(module: nn.Module, seeds: torch.Size) -> Tensor:
    """Euclidean length of the gradient, one number for each seed."""
    squares = [p.grad.square().reshape(*seeds, -1).sum(-1) for p in module.parameters() if p.grad is not None]
    return torch.stack(squares).sum(0).sqrt()


# ---- before and after ------------------------------------------------------------------------------------------

OPTIMIZERS = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}


def _optimizers(policy, critic, config):
    """One optimizer for each network, of the kind that config names."""
    if config.optimizer not in OPTIMIZERS:
        raise ValueError(f"optimizer must be 'adam' or 'sgd'; got {config.optimizer!r}")
    make = OPTIMIZERS[config.optimizer]
    return make(policy.parameters(), lr=config.lr), critic and make(critic.parameters(), lr=config.critic_lr)


def make_batch(env, config, seed, robots: str = "robots") -> MazeBatch | VectorBatch:
    """Many robots in the maze (`robots`: the setting that says how many), or the vector environment."""
    if not is_dataclass(config):
        raise TypeError(f"config must be a configuration such as PPOConfig(lr=0.1); got {type(config).__name__}")
    if isinstance(env, Maze):
        if getattr(config, "normalize_rewards", False):
            raise ValueError("normalize_rewards is for vector environments; the maze's rewards are near 1 already")
        return MazeBatch(env, validate.integer(robots, getattr(config, robots), 1), seed=seed)
    if not isinstance(seed, Integral):
        raise TypeError(f"a vector environment trains one policy: seed must be an int; got {seed!r}")
    return VectorBatch(env, seed=seed)


def collect(batch: MazeBatch | VectorBatch, policy, steps: int, critic) -> Rollout:
    """`steps` steps of every robot or environment."""
    return (fixed_steps if isinstance(batch, MazeBatch) else vector_steps)(batch, policy, steps, critic)


def prepare(env, policy, critic, config, robots: str, seed) -> MazeBatch:
    """Check what the trainers that know the maze alone ask for, and set the mazes up."""
    if not isinstance(env, Maze):
        raise TypeError(f"env must be a Maze; got {type(env).__name__}. ppo and trpo take vector environments too")
    batch = make_batch(env, config, seed, robots)
    check_common(batch, policy, critic, config)
    return batch


WHOLE = {"iterations": 1, "steps": 1, "epochs": 1, "minibatches": 1, "critic_steps": 0}  # and the least of each
RANGES = {"lr": (0.0,), "critic_lr": (0.0,), "gamma": (0.0, 1.0), "lam": (0.0, 1.0), "damping": (0.0,)}
RANGES |= {"eps": (0.0, 1.0), "value_coef": (0.0,), "entropy_coef": ()}
POSITIVE = {  # and what None means, where it may stand
    "delta": "",
    "target_kl": "no stop",
    "max_grad_norm": "no limit",
    "value_clip": "the plain squared error",
    "eps_high": "the width eps",
    "dual_clip": "no second limit",
}


def check_common(batch, policy, critic, config) -> None:
    """Refuse settings that no trainer can use, and networks that do not have the batch's seeds."""
    for f in fields(config):
        value = getattr(config, f.name)
        if f.name in WHOLE:
            validate.integer(f.name, value, WHOLE[f.name])
        elif f.name in RANGES:
            validate.number(f.name, value, *RANGES[f.name])
        elif f.name in POSITIVE and not (value is None and POSITIVE[f.name]):
            validate.positive(f.name, value, without=POSITIVE[f.name])
    for name, module in (("policy", policy), ("critic", critic)):
        if module is not None and not any(p.requires_grad for p in module.parameters()):
            raise ValueError(
                f"{name} has no parameter with requires_grad=True, so it cannot learn. To hold it still, leave them as "
                f"they are and set its learning rate to 0"
            )
        for parameter in () if module is None else module.parameters():
            if parameter.shape[: len(batch.seeds)] != torch.Size(batch.seeds):
                raise ValueError(
                    f"{name} has a parameter of shape {tuple(parameter.shape)}, but seed asks for trainings of shape "
                    f"{batch.seeds} at once; make it with seeds={batch.seeds}"
                )


def stop_if_diverged(config, **numbers: Tensor) -> None:
    """FloatingPointError when one of `numbers` is no longer finite, with the settings that may be to blame."""
    for name, x in numbers.items():
        if not math.isfinite(x.detach().sum()):
            settings = [s for s in ("lr", "critic_lr", "max_grad_norm", "target_kl") if hasattr(config, s)]
            raise FloatingPointError(
                f"the run diverged: {name} is no longer finite. Most likely a step was too long: lower the learning "
                f"rates or limit the steps. Now {', '.join(f'{s}={getattr(config, s)}' for s in settings)}"
            )


def finish_row(row: dict, steps: Tensor, rollout, config) -> dict:
    """Add what every trainer reports; plain numbers for one training, arrays for many; drop what is not defined."""
    stop_if_diverged(config, **{name: row[name] for name in ("policy_loss", "value_loss") if name in row})
    row |= {"env_steps": steps, "return_mean": rollout.return_mean()}
    row = {name: x for name, x in row.items() if not (isinstance(x, Tensor) and x.isnan().all())}
    return {
        name: (x.detach().numpy() if x.ndim else x.item()) if isinstance(x, Tensor) else x for name, x in row.items()
    }
