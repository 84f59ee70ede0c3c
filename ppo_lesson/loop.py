"""What the trainers share: refuse bad settings, set robots up, step the critic, finish a row. No algorithm."""

import contextlib
import math
from dataclasses import is_dataclass
from numbers import Integral

import torch
from gymnasium.spaces import Box
from torch import Tensor, nn
from torch.distributions import Distribution, kl_divergence
from torch.nn.parameter import is_lazy

from . import validate
from .maze import Maze, MazeBatch
from .objectives import aggregate, value_loss
from .validate import refusal
from .vector import VectorBatch

PER_SEED = (-2, -1)  # robots and time: the axes that one training averages over


# ---- before ----------------------------------------------------------------------------------------------------


def make_batch(env, config, seed, robots: str = "robots") -> MazeBatch | VectorBatch:
    """Many robots in the maze (`robots`: the setting that says how many), or the vector environment."""
    if not is_dataclass(config):
        raise TypeError(refusal("run", "no config", type(config).__name__))
    if torch.is_inference_mode_enabled() or torch.get_default_device().type != "cpu":
        raise RuntimeError(refusal("run", "around", torch.get_default_device(), torch.is_inference_mode_enabled()))
    if isinstance(env, Maze):
        if getattr(config, "normalize_rewards", False):
            raise ValueError(refusal("run", "maze rewards"))
        return MazeBatch(env, validate.integer(robots, getattr(config, robots), 1), seed=seed)
    if not isinstance(seed, Integral):
        raise TypeError(refusal("run", "one seed", seed))
    return VectorBatch(env, seed=seed)


def check_common(batch, policy, critic, config) -> None:
    """Refuse settings that no trainer can use, and networks that do not fit each other, the batch or its seeds."""
    validate.settings(config)
    _ask_once(batch, policy, critic)
    for name, module in (("policy", policy), ("critic", critic)):
        if module is not None and not any(p.requires_grad for p in module.parameters()):
            raise ValueError(refusal("network", "frozen", name))
        for parameter in () if module is None else module.parameters():
            if parameter.shape[: len(batch.seeds)] != torch.Size(batch.seeds):
                raise ValueError(refusal("network", "seeds", name, tuple(parameter.shape), batch.seeds))


def _ask_once(batch, policy, critic) -> None:
    """Both networks about what all environments show, as one step of a rollout: what goes wrong is told in words."""
    vector = isinstance(batch, VectorBatch)
    for name, module in (("policy", policy), ("critic", critic)):
        if module is not None and not isinstance(module, nn.Module):
            raise TypeError(refusal("network", "no module", name, type(module).__name__))
        for p in () if module is None else module.parameters():
            if p.device.type != "cpu":
                raise ValueError(refusal("network", "elsewhere", name, p.device))
            if not is_lazy(p) and p.is_inference():
                raise ValueError(refusal("network", "inference", name))

    def ask(name: str, module, x: Tensor):
        try:
            with torch.no_grad():
                return module(x)
        except RuntimeError as error:
            raise RuntimeError(refusal("network", "cannot read", name, x.dtype, tuple(x.shape), error)) from error

    x = batch.shown(policy) if vector else batch.states
    if not isinstance(distribution := ask("policy", policy, x), Distribution):
        raise TypeError(refusal("network", "no distribution", type(distribution).__name__))
    if vector:  # does it choose among the actions that there are?
        numbers = batch.generators[0].get_state()
        batch.choose(policy)
        batch.generators[0].set_state(numbers)
    x = x.unsqueeze(len(batch.seeds) + 1)
    steps, distribution = tuple(x.shape[: len(batch.seeds) + 2]), ask("policy", policy, x)
    if distribution.batch_shape != steps:
        raise ValueError(refusal("network", "batch shape", steps, distribution, tuple(distribution.batch_shape)))
    try:
        distribution.entropy(), kl_divergence(distribution, distribution)
    except NotImplementedError:
        raise TypeError(refusal("network", "no entropy", distribution)) from None
    if vector and isinstance(space := batch.action_space, Box):
        with contextlib.suppress(NotImplementedError):  # not every distribution tells
            mean, spread = distribution.mean, 4 * distribution.stddev
            if ((mean + spread < torch.tensor(space.low)) | (mean - spread > torch.tensor(space.high))).all(0).any():
                raise ValueError(refusal("network", "outside", mean.min(), mean.max(), spread.max() / 4, space))
    if critic is not None:
        got = getattr(values := ask("critic", critic, x), "shape", type(values).__name__)
        if got != steps:
            raise ValueError(refusal("network", "values", steps, got))


# ---- one step, and after ----------------------------------------------------------------------------------------


@torch.enable_grad()
def critic_step(critic, optimizer, rollout, returns: Tensor, config) -> dict:
    still_held("critic", critic, optimizer)
    values = critic(rollout.observations)
    loss = aggregate(value_loss(values, returns), rollout.mask, dim=PER_SEED)
    optimizer.zero_grad()
    loss.sum().backward()
    optimizer.step()
    stop_if_diverged(config, {"critic": nn.utils.parameters_to_vector(critic.parameters())})
    return {"value_loss": loss.detach()}


def still_held(name: str, module, optimizer) -> None:
    """RuntimeError if a parameter was replaced, or got another dtype, since `optimizer` took it."""
    held = {p for group in optimizer.param_groups for p in group["params"]}
    if not held <= set(module.parameters()) or any(optimizer.state[p].get("exp_avg", p).dtype != p.dtype for p in held):
        raise RuntimeError(refusal("network", "replaced", name))


def grad_norm(module: nn.Module, seeds: torch.Size) -> Tensor:
    """Euclidean length of the gradient, one number for each seed."""
    squares = [p.grad.square().reshape(*seeds, -1).sum(-1) for p in module.parameters() if p.grad is not None]
    return torch.stack(squares).sum(0).sqrt()


def stop_if_diverged(config, numbers: dict[str, Tensor]) -> None:
    """FloatingPointError when one of `numbers` is no longer finite, with the settings that may be to blame."""
    for name, x in numbers.items():
        if not math.isfinite(x.detach().sum()):
            settings = [s for s in ("lr", "critic_lr", "max_grad_norm", "target_kl") if hasattr(config, s)]
            now = ", ".join(f"{s}={getattr(config, s)}" for s in settings)
            raise FloatingPointError(refusal("run", "diverged", name, now))


def finish_row(row: dict, steps: Tensor, rollout, config) -> dict:
    """Add what every trainer reports; plain numbers for one training, arrays for many; drop what is not defined."""
    stop_if_diverged(config, {name: row[name] for name in ("policy_loss", "value_loss") if name in row})
    row |= {"env_steps": steps, "return_mean": rollout.return_mean()}
    row = {name: x for name, x in row.items() if not (isinstance(x, Tensor) and x.isnan().all())}
    return {
        name: (x.detach().numpy() if x.ndim else x.item()) if isinstance(x, Tensor) else x for name, x in row.items()
    }
