"""Proximal policy optimization (Schulman et al. 2017): several passes over each rollout, kept near its policy.

    for row in ppo(Maze(), policy, critic, PPOConfig(), seed=0):
        print(row["env_steps"], row["return_mean"], row["kl"], row["clip_fraction"])

The same function trains in the maze, on `CartPole` and in any Gymnasium vector environment. Rows and seeds are as in
`reinforce`. Left out: networks that share layers, recurrent policies, several machines.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import kl_divergence

from . import checkpoint, objectives, validate, watch
from .kl import FixedKL, PaperKL, estimate
from .loop import check_common, finish_row, make_envs, stop_if_diverged
from .normalize import RewardScale, observe
from .objectives import clip_fraction, clipped_surrogate, explained_variance, penalized_surrogate, surrogate, value_loss
from .optim import Adam
from .returns import whiten
from .rollout import Rollout
from .validate import refusing, require
from .vector import VectorBatch


@validate.helpful
@dataclass(frozen=True)
class PPOConfig:
    """`iterations` rollouts of robots x steps, each used for `epochs` passes over `minibatches` shuffled parts.

    robots: or carts; a vector environment brings its own number. steps: of each robot in one rollout.
    objective: "clip" (eps, eps_high, dual_clip), "penalty" (kl: FixedKL or PaperKL), or "plain" (no protection).
    target_kl: a seed whose mini-batch KL exceeds 1.5 * target_kl stops until the next rollout.
    anneal: both learning rates fall to 0 along a line; anneal_clip: eps and eps_high too.
    normalize_rewards: divide rewards by the running spread of the return; for vector environments.
    checkpoint_every: iterations between two checkpoints; at each one all environments and random numbers begin anew
    from (seed, iteration), saved or not, so that an interrupted run ends like an uninterrupted one.
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
    anneal_clip: bool = False
    whiten: bool = True
    normalize_rewards: bool = False
    checkpoint_every: int | None = None

    def __post_init__(self):
        require(isinstance(self.kl, FixedKL | PaperKL | None), TypeError, "run", "kl", type(self.kl).__name__)
        fits = (self.objective == "penalty") == (self.kl is not None)
        require(fits, ValueError, "run", "kl and objective", self.objective, self.kl)
        objectives.clip_range(self.eps if self.objective == "clip" else 0.2, self.eps_high, self.dual_clip)


def ppo(
    env, policy: nn.Module, critic: nn.Module, config: PPOConfig, *, seed: int | Sequence[int], resume=None
) -> Iterator[dict]:
    """Proximal policy optimization (Schulman et al. 2017, algorithm 1).

        objective = mean of clipped_surrogate (or another) - value_coef * value_loss + entropy_coef * entropy

    env: a `Maze`, a `CartPole` (both take one int for each of K seeds, too), or a `gymnasium.vector.VectorEnv`.
    resume: a file. The run saves itself there at every checkpoint and at its end; if the file is there already, the
    rows it remembers come first and the run goes on after them, bit by bit as if it had never stopped, in the same
    environment, if `reset(seed=...)` makes it forget all else. Refused: another one by name, space, `spec` or what 16
    drawn steps show and pay, and one that shows that it remembers. A Ctrl-C between two checkpoints saves nothing new.
    Rows add kl (exact, from the old policy) to the usual ones, and numbers that are known beforehand: see watch.py.
    FloatingPointError, with a diagnosis, if the run diverges. RuntimeError if the environment fails.
    """
    controller = _check_ppo(config, critic, resume)
    envs = make_envs(env, config, seed)
    settings = {} if resume is None else _settings(envs, config, policy, critic)
    checkpoint.check_settings(resume, settings)
    check_common(envs, policy, critic, config)
    _frozen_copy(policy)  # each update will need one
    resumable = resume is not None and isinstance(envs, VectorBatch)
    resumable and envs.check_forgets()
    optimizer = Adam([(policy.parameters(), config.lr), (critic.parameters(), config.critic_lr)], seeds=envs.seeds)
    try:
        scale_rewards = RewardScale(config.gamma) if config.normalize_rewards else None
        modules = {"policy": policy, "critic": critic} | ({"reward_scale": scale_rewards} if scale_rewards else {})
        rhythm = {"count": config.iterations, "every": config.checkpoint_every, "restarts": True}
        first = envs.shown(policy) if isinstance(envs, VectorBatch) else envs.states
        run = checkpoint.Run(resume, settings, modules, optimizer.state(), controller, **rhythm)
        saved, now = run.beside.get("said"), _said(first, policy, critic)
        same = saved is None or torch.allclose(torch.tensor(saved), torch.tensor(now), 1e-3, 1e-5, equal_nan=True)
        require(same, ValueError, "file", "other networks", resume, saved, now)
        yield from map(dict, run.rows)
        for iteration in run.iterations():
            try:
                optimizer.check({"policy": policy, "critic": critic})
                if run.due(iteration):
                    told = any("return_mean" in row for row in run.rows)
                    require(told, ValueError, "run", "no end", config.checkpoint_every, config.steps)
                    run.save()
                    resumable and envs.check_forgets()
                    envs.restart([checkpoint.fresh_seed(s, iteration) for s in envs.seed_numbers])
                    if scale_rewards is not None:
                        scale_rewards.restart()
                rollout = envs.collect(policy, config.steps, critic)
            except (RuntimeError, ValueError, OSError) as error:
                error.add_note(f"in iteration {iteration} of seed {seed}. {run.what_is_safe()}")
                raise
            if scale_rewards is not None:
                rollout.rewards = scale_rewards(rollout.rewards, rollout.ended, rollout.mask)
            factor = 1 - iteration / config.iterations if config.anneal else 1.0
            row = {"iteration": iteration, "lr": config.lr * factor}
            with torch.enable_grad():  # whatever surrounds the loop over our rows
                row |= ppo_update(policy, critic, optimizer, rollout, config, controller, envs, factor)
            if controller is not None:  # beta is the one that this update used; the next may use another
                row["beta"] = torch.as_tensor(controller.beta, dtype=torch.float64).expand(envs.seeds)
                if isinstance(controller, PaperKL):
                    controller.update(kl_from_old=row["kl"])
            observe(rollout.observations[rollout.mask] if not envs.seeds else rollout.observations, policy, critic)
            run.beside["said"] = _said(first, policy, critic)
            steps = torch.full(envs.seeds, (iteration + 1) * envs.n * config.steps)
            yield from run.add(finish_row(row, steps, rollout, config))
    finally:
        optimizer.release()


class Steps(NamedTuple):
    """What one update learns from, a rollout or a mini-batch of it: robots and time are one axis, (*seeds, n, ...)."""

    observations: Tensor
    actions: Tensor
    logp_old: Tensor  # (*seeds, n), as all below; under the policy that collected
    advantages: Tensor  # raw of a rollout, whitened of a mini-batch
    returns: Tensor  # what the critic shall say
    values_old: Tensor  # what it said while collecting


class Losses(NamedTuple):
    """What `ppo_loss` found: three losses, one number a seed, and what they are made of, (*seeds, n) with gradients."""

    total: Tensor
    policy: Tensor
    value: Tensor
    logp: Tensor
    values: Tensor
    entropy: Tensor | None  # asked for only if it has a coefficient


def ppo_update(policy, critic, optimizer, rollout: Rollout, config: PPOConfig, controller, envs, factor=1.0) -> dict:
    """Several epochs of mini-batches over one rollout. Returns diagnostics, one number a seed."""
    advantages, returns = rollout.gae(config.gamma, config.lam)  # (*seeds, robots, T)
    old = _frozen_copy(policy)  # the policy that collected the data
    logp_old = old(rollout.observations).log_prob(rollout.actions)  # rescored, so that the first ratio is exactly 1
    steps = Steps(rollout.observations, rollout.actions, logp_old, advantages, returns, rollout.values)
    steps = _real_steps(steps, rollout.mask, envs.seeds)  # each (*seeds, n, ...)
    if config.anneal_clip:  # the clip widths shrink with the learning rate
        config = replace(config, eps=config.eps * factor, eps_high=config.eps_high and config.eps_high * factor)
    beta = controller and controller.beta
    active = torch.ones(envs.seeds, dtype=torch.bool)  # the seeds that still learn
    row, taken = {}, []
    for part in minibatches(steps, config, envs):
        losses = ppo_loss(policy, critic, part, config, old, beta)
        row = row or watch.known(part, losses.logp, rollout, returns, config)
        if config.target_kl is not None:  # before the optimizer's step: a seed that went too far does not go further
            active = active & (estimate(part.logp_old, losses.logp.detach(), "k3").mean(-1) <= 1.5 * config.target_kl)
            if not active.any():
                break
        optimizer.backward(losses.total.sum(), keep_graph=not taken)  # seeds share no parameter: sums keep them apart
        if not taken:
            row["gradient_error"] = watch.gradient_error(optimizer, losses, part, config)
        norm = optimizer.clip(config.max_grad_norm)
        optimizer.step(factor=factor, active=active)
        stop_if_diverged(config, {"a parameter": optimizer.flat})
        taken.append(watch.Taken(losses.policy.detach(), losses.value.detach(), norm, active))
    return row | watch.of_steps(taken) | _diagnostics(policy, critic, old, steps, config)


def ppo_loss(policy, critic, part: Steps, config: PPOConfig, old=None, beta=None) -> Losses:
    """The loss of one mini-batch: the paper's eq. 9 with its sign turned, for it is minimized. One number a seed.

        total = -mean(objective) + value_coef * mean(value_loss) - entropy_coef * mean(entropy)

    part: its advantages are weights as they are. old, beta: the policy that collected and the price of leaving it, for
    objective="penalty" alone. FloatingPointError if the networks no longer give finite numbers.
    """
    distribution, values = policy(part.observations), critic(part.observations)
    logp = distribution.log_prob(part.actions)
    stop_if_diverged(config, {"logp": logp, "values": values})
    if config.objective == "clip":
        eps = {"eps": config.eps, "eps_high": config.eps_high, "dual_clip": config.dual_clip}
        objective = clipped_surrogate(logp, part.logp_old, part.advantages, **eps)
    elif config.objective == "penalty":
        kl = kl_divergence(old(part.observations), distribution)  # exact, at each observation
        beta = torch.as_tensor(beta, dtype=kl.dtype)[..., None]  # one a seed
        objective = penalized_surrogate(logp, part.logp_old, part.advantages, kl, beta)
    else:
        objective = surrogate(logp, part.logp_old, part.advantages)
    policy_loss = -objective.mean(-1)  # (*seeds)
    clip = {} if config.value_clip is None else {"values_old": part.values_old, "clip": config.value_clip}
    critic_loss = value_loss(values, part.returns, **clip).mean(-1)
    loss = policy_loss + config.value_coef * critic_loss
    entropy = distribution.entropy() if config.entropy_coef else None
    if config.entropy_coef:
        loss = loss - config.entropy_coef * entropy.mean(-1)
    return Losses(loss, policy_loss, critic_loss, logp, values, entropy)


def minibatches(steps: Steps, config: PPOConfig, envs) -> Iterator[Steps]:
    """Every epoch visits each step once, in a new order for every seed. Advantages are whitened per mini-batch."""
    n = steps.advantages.shape[-1]

    def whitened(part):
        return part._replace(advantages=whiten(part.advantages, dim=-1)) if config.whiten else part

    if config.minibatches == 1:  # the order would change nothing
        yield from [whitened(steps)] * config.epochs
        return
    parts = min(config.minibatches, max(1, n // 2) if config.whiten else n)  # columns of resets may have left few steps
    orders = [torch.stack([torch.randperm(n, generator=g) for _ in range(config.epochs)]) for g in envs.generators]
    rows = torch.arange(len(orders))[:, None]  # each seed takes of its own steps
    for order in torch.stack(orders, 1):  # (epochs, seeds, n), drawn at once: a seed that stops early draws no fewer
        shuffled = (x[rows, order] if envs.seeds else x[order[0]] for x in steps)
        yield from map(whitened, map(Steps, *(x.tensor_split(parts, len(envs.seeds)) for x in shuffled)))


def _real_steps(steps: Steps, mask: Tensor, seeds: tuple) -> Steps:
    """Robots and time as one axis, (*seeds, robots, steps, ...) -> (*seeds, n, ...), without steps nobody took."""
    if not seeds and not mask.all():
        return Steps(*(x[mask] for x in steps))
    return Steps(*(x.flatten(len(seeds), len(seeds) + 1) for x in steps))


@torch.no_grad()
def _diagnostics(policy, critic, old, steps: Steps, config: PPOConfig) -> dict:
    """Where the update ended, measured on its whole rollout."""
    distribution, logp_old = policy(steps.observations), steps.logp_old
    logp = distribution.log_prob(steps.actions)
    stop_if_diverged(config, {"logp": logp, "values": critic(steps.observations)})
    row = {"entropy": distribution.entropy().mean(-1), "approx_kl": estimate(logp_old, logp, "k3").mean(-1)}
    row["kl"] = kl_divergence(old(steps.observations), distribution).mean(-1)
    row["explained_variance"] = explained_variance(steps.values_old, steps.returns, dim=-1)
    if config.objective == "clip":  # clipping asks for the signs of the weights
        weights = whiten(steps.advantages, dim=-1) if config.whiten else steps.advantages
        row["clip_fraction"] = clip_fraction(logp, logp_old, weights, config.eps, eps_high=config.eps_high, dim=-1)
    return row


@torch.no_grad()
def _frozen_copy(policy):
    with refusing((TypeError, RuntimeError, copy.Error), TypeError, "network", "no copy"):
        return copy.deepcopy(policy).requires_grad_(False)


@torch.no_grad()
def _said(first: Tensor, policy, critic) -> list[float]:
    """Of where all environments begin: other layers behind the same shapes would say something else."""
    return [policy(first).entropy().mean().item(), critic(first).mean().item()]


def _settings(envs, config: PPOConfig, *networks: nn.Module) -> dict:
    """What must be the same when a run goes on."""
    seeds = envs.seed_numbers if envs.seeds else envs.seed_numbers[0]
    given = {f.name: repr(getattr(config, f.name)) for f in fields(config)}
    parts = [part for network in networks if isinstance(network, nn.Module) for part in network.modules()]
    layers = [[type(p).__name__, *((k, x) for k, x in vars(p).items() if isinstance(x, float | str))] for p in parts]
    return {"env": envs.fingerprint(), "seed": repr(seeds), "layers": repr(layers)} | given


def _check_ppo(config: PPOConfig, critic, resume) -> FixedKL | PaperKL | None:
    """Refuse what does not fit the settings; give this run its own copy of the KL controller."""
    require(isinstance(config, PPOConfig), TypeError, "run", "no PPOConfig", type(config).__name__)
    require(critic is not None, TypeError, "run", "no critic")
    require(resume is None or config.checkpoint_every is not None, ValueError, "run", "no rhythm")
    return copy.deepcopy(config.kl)
