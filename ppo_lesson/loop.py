"""What the trainers share: refuse bad settings, set robots up, step the critic, finish a row. No algorithm."""

import math
from dataclasses import is_dataclass
from numbers import Integral

import torch
from torch import Tensor, nn

from . import validate
from .maze import Maze, MazeBatch
from .objectives import aggregate, value_loss
from .vector import VectorBatch

PER_SEED = (-2, -1)  # robots and time: the axes that one training averages over


# ---- before ----------------------------------------------------------------------------------------------------


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


def check_common(batch, policy, critic, config) -> None:
    """Refuse settings that no trainer can use, and networks that do not have the batch's seeds."""
    validate.settings(config)
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


def stop_if_diverged(config, numbers: dict[str, Tensor]) -> None:
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
    stop_if_diverged(config, {name: row[name] for name in ("policy_loss", "value_loss") if name in row})
    row |= {"env_steps": steps, "return_mean": rollout.return_mean()}
    row = {name: x for name, x in row.items() if not (isinstance(x, Tensor) and x.isnan().all())}
    return {
        name: (x.detach().numpy() if x.ndim else x.item()) if isinstance(x, Tensor) else x for name, x in row.items()
    }
