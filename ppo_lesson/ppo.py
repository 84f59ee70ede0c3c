"""Proximal policy optimization (Schulman et al. 2017): several passes over each rollout, kept near its policy.

    for row in ppo(Maze(), policy, critic, PPOConfig(), seed=0):
        print(row["env_steps"], row["return_mean"], row["kl"], row["clip_fraction"])

Rows and seeds are as in `train`. Left out so far: environments other than the maze, and checkpoints.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.distributions import kl_divergence

from . import validate
from .adam import Adam
from .kl import FixedKL, PaperKL, estimate
from .maze import Maze, MazeBatch
from .objectives import (
    clip_fraction,
    clipped_surrogate,
    explained_variance,
    penalized_surrogate,
    surrogate,
    value_loss,
)
from .returns import whiten
from .rollout import fixed_steps
from .train import PER_SEED, finish_row, prepare, stop_if_diverged


@dataclass(frozen=True)
class PPOConfig:
    """`iterations` rollouts of robots x steps, each used for `epochs` passes over `minibatches` shuffled parts.

    objective: "clip" (eps, eps_high, dual_clip), "penalty" (kl: FixedKL or PaperKL), or "plain" (no protection).
    target_kl: a seed whose mini-batch KL exceeds 1.5 * target_kl stops until the next rollout. lr falls to 0 if anneal.
    """

    iterations: int = 23
    robots: int = 16
    steps: int = 8
    epochs: int = 10
    minibatches: int = 1
    lr: float = 0.4
    critic_lr: float = 0.4
    gamma: float = 0.99
    lam: float = 0.95
    objective: str = "clip"
    eps: float = 0.2
    eps_high: float | None = None
    dual_clip: float | None = None
    kl: FixedKL | PaperKL | None = None
    target_kl: float | None = 0.02
    value_clip: float | None = None
    value_coef: float = 0.5
    entropy_coef: float = 0.0
    max_grad_norm: float | None = 0.5
    anneal: bool = True
    whiten: bool = True


def ppo(
    env: Maze, policy: nn.Module, critic: nn.Module, config: PPOConfig, *, seed: int | Sequence[int]
) -> Iterator[dict]:
    """Proximal policy optimization (Schulman et al. 2017, algorithm 1).

        objective = mean of clipped_surrogate (or another) - value_coef * value_loss + entropy_coef * entropy

    env: a `Maze`. seed: an int, or one int for each of the policy's seeds. Rows add kl (exact, from the old policy) to
    the usual ones; ratio_error is the largest |ratio - 1| on the first mini-batch and must be 0.
    FloatingPointError, with a diagnosis, if the run diverges.
    """
    controller = _check_ppo(config, critic)
    batch = prepare(env, policy, critic, config, "robots", seed)
    optimizer = Adam([(policy.parameters(), config.lr), (critic.parameters(), config.critic_lr)], seeds=batch.seeds)
    steps = 0
    for iteration in range(config.iterations):
        rollout = fixed_steps(batch, policy, config.steps, critic)
        scale = 1 - iteration / config.iterations if config.anneal else 1.0
        row = {"iteration": iteration, "lr": config.lr * scale}
        row |= _update(policy, critic, optimizer, rollout, config, controller, batch, scale)
        if controller is not None:  # beta is the one that this update used; the next may use another
            row["beta"] = torch.as_tensor(controller.beta, dtype=torch.float64).expand(batch.seeds)
            if isinstance(controller, PaperKL):
                controller.update(kl_from_old=row["kl"])
        steps = steps + rollout.mask.sum(PER_SEED)
        yield finish_row(row, steps, rollout, config)


def _update(policy, critic, optimizer, rollout, config, controller, batch, scale) -> dict:
    """Several epochs of mini-batches over one rollout. Returns diagnostics, one number a seed."""
    advantages, returns = rollout.gae(config.gamma, config.lam)
    old = copy.deepcopy(policy).requires_grad_(False)  # the policy that collected the data
    logp_old = old(rollout.observations).log_prob(rollout.actions)  # rescored, so that the first ratio is exactly 1
    columns = (rollout.observations, rollout.actions, logp_old, advantages, returns, rollout.values)
    columns = [x.flatten(-2) for x in columns]  # (*seeds, robots * steps)
    active = torch.ones(batch.seeds, dtype=torch.bool)
    row = {}
    for observations, actions, logp_old, weights, targets, values_old in _minibatches(columns, config, batch):
        distribution, values = policy(observations), critic(observations)
        logp = distribution.log_prob(actions)
        stop_if_diverged(config, logp=logp, values=values)
        if not row:
            row["ratio_error"] = ((logp.detach() - logp_old).exp() - 1).abs().amax(-1)
        if config.target_kl is not None:  # before the optimizer's step: a seed that went too far does not go further
            active = active & (estimate(logp_old, logp.detach(), "k3").mean(-1) <= 1.5 * config.target_kl)
            if not active.any():
                break
        if config.objective == "clip":
            objective = clipped_surrogate(
                logp, logp_old, weights, config.eps, eps_high=config.eps_high, dual_clip=config.dual_clip
            )
        elif config.objective == "penalty":
            kl = kl_divergence(old(observations), distribution)
            beta = torch.as_tensor(controller.beta, dtype=kl.dtype)[..., None]
            objective = penalized_surrogate(logp, logp_old, weights, kl, beta)
        else:
            objective = surrogate(logp, logp_old, weights)
        policy_loss = -objective.mean(-1)
        clip = {} if config.value_clip is None else {"values_old": values_old, "clip": config.value_clip}
        critic_loss = value_loss(values, targets, **clip).mean(-1)
        loss = policy_loss + config.value_coef * critic_loss
        if config.entropy_coef:
            loss = loss - config.entropy_coef * distribution.entropy().mean(-1)
        optimizer.backward(loss.sum())  # seeds share no parameter, so the sum keeps them apart
        norm = optimizer.clip(config.max_grad_norm)
        optimizer.step(scale=scale, active=active)
        latest = {"policy_loss": policy_loss.detach(), "value_loss": critic_loss.detach(), "grad_norm": norm}
        row |= {name: x.where(active, row.get(name, x)) for name, x in latest.items()}  # of seeds that still learn
    return row | _diagnostics(policy, critic, old, columns, config)


@torch.no_grad()
def _diagnostics(policy, critic, old, columns, config) -> dict:
    """Where the update ended, measured on its whole rollout."""
    observations, actions, logp_old, advantages, returns, values = columns
    distribution = policy(observations)
    logp = distribution.log_prob(actions)
    stop_if_diverged(config, logp=logp, values=critic(observations))
    row = {
        "entropy": distribution.entropy().mean(-1),
        "approx_kl": estimate(logp_old, logp, "k3").mean(-1),
        "kl": kl_divergence(old(observations), distribution).mean(-1),
        "explained_variance": explained_variance(values, returns, dim=-1),
    }
    if config.objective == "clip":
        weights = whiten(advantages, dim=-1) if config.whiten else advantages  # clipping asks for their signs
        row["clip_fraction"] = clip_fraction(logp, logp_old, weights, config.eps, eps_high=config.eps_high, dim=-1)
    return row


def _minibatches(columns: list[Tensor], config: PPOConfig, batch: MazeBatch) -> Iterator[list[Tensor]]:
    """Every epoch visits each step once, in a new order for every seed. Advantages are whitened per mini-batch."""
    n = columns[0].shape[-1]

    def whitened(part):
        return [*part[:3], whiten(part[3], dim=-1), *part[4:]] if config.whiten else part

    if config.minibatches == 1:  # the order would change nothing
        yield from [whitened(columns)] * config.epochs
        return
    orders = [torch.stack([torch.randperm(n, generator=g) for _ in range(config.epochs)]) for g in batch.generators]
    for order in torch.stack(orders, 1):  # (epochs, seeds, n), drawn at once: a seed that stops early draws no fewer
        for index in order.view(*batch.seeds, n).tensor_split(config.minibatches, -1):
            yield whitened([x.gather(-1, index) for x in columns])


def _check_ppo(config: PPOConfig, critic) -> FixedKL | PaperKL | None:
    """Refuse settings that do not fit together; give this run its own copy of the KL controller."""
    if critic is None:
        raise TypeError("ppo needs a critic, for example TabularCritic()")
    if config.objective not in ("clip", "penalty", "plain"):
        raise ValueError(f"objective must be 'clip', 'penalty' or 'plain'; got {config.objective!r}")
    if config.kl is not None and not isinstance(config.kl, FixedKL | PaperKL):
        raise TypeError(
            f"kl must be a FixedKL or a PaperKL, the two rules about the old policy; got {type(config.kl).__name__}. "
            f"ZieglerKL is about a reference policy and belongs to rlhf"
        )
    if (config.objective == "penalty") != (config.kl is not None):
        raise ValueError(f"objective='penalty' and kl go together; got objective={config.objective!r}, kl={config.kl}")
    for name, without in (("target_kl", "no stop"), ("max_grad_norm", "no limit")):
        value = getattr(config, name)
        if value is not None and not value > 0:
            raise ValueError(f"{name} must be positive, or None for {without}; got {value}")
    for name in ("value_coef", "entropy_coef"):
        validate.number(name, getattr(config, name))
    for name in ("steps", "epochs"):
        validate.integer(name, getattr(config, name), 1)
    validate.integer("minibatches", config.minibatches, 1, config.robots * config.steps)
    return copy.deepcopy(config.kl)
