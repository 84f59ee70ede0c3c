"""What the trainers share: refuse bad settings, set robots up, step the critic, finish a row. No algorithm."""

import contextlib
import math
from dataclasses import is_dataclass
from numbers import Integral

import torch
from gymnasium.spaces import Box
from torch import Tensor, nn
from torch.distributions import Distribution, kl_divergence

from .cartpole import CartPole, CartPoleBatch
from .maze import Maze, MazeBatch
from .objectives import aggregate, explained_variance, value_loss
from .validate import integer, refusal, refusing, require, settings, used
from .vector import VectorBatch, check_steady

PER_SEED = (-2, -1)  # robots and time: the axes that one training averages over


def make_envs(env, config, seed, robots: str = "robots") -> MazeBatch | CartPoleBatch | VectorBatch:
    """Many robots or carts (`robots`: the setting that says how many), or the vector environment."""
    require(is_dataclass(config), TypeError, "run", "no config", type(config).__name__)
    device, around = torch.get_default_device(), (torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu"))
    require(device.type == "cpu" and not any(around), RuntimeError, "run", "around", device, *around)
    if isinstance(env, Maze | CartPole):
        require(not getattr(config, "normalize_rewards", False), ValueError, "run", "small rewards", type(env).__name__)
        own = isinstance(env, Maze) and (type(env).step, type(env).reset) != (Maze.step, Maze.reset)
        require(not own, TypeError, "run", "own steps", type(env).__name__)
        kind = MazeBatch if isinstance(env, Maze) else CartPoleBatch
        return kind(env, integer(robots, getattr(config, robots), 1), seed=seed)
    require(isinstance(seed, Integral), TypeError, "run", "one seed", seed)
    given, brings = getattr(config, robots), getattr(env, "num_envs", None)
    fits = brings is None or given in (type(config).__dict__[robots], brings)
    require(fits, ValueError, "run", "robots", given, brings)
    return VectorBatch(env, seed=seed)


def check_common(envs, policy, critic, config) -> None:
    """Refuse settings that no trainer can use, and networks that fit neither each other nor environments and seeds."""
    settings(config)
    used(config, critic=critic)
    steps = envs.n * getattr(config, "steps", 2)  # an episode's are not known
    parts = integer("minibatches", getattr(config, "minibatches", 1), 1, steps)
    require(steps >= 2 * parts or not getattr(config, "whiten", True), ValueError, "run", "single steps", parts, steps)
    networks = {"policy": policy} | ({} if critic is None else {"critic": critic})
    for name, module in networks.items():
        require(isinstance(module, nn.Module), TypeError, "network", "no module", name, type(module).__name__)
        for p in module.parameters():
            require(p.device.type == "cpu", ValueError, "network", "elsewhere", name, p.device)
    check_steady(policy)
    said, places = _ask_once(envs, policy, critic), []
    for name, module in networks.items():
        require(any(p.requires_grad for p in module.parameters()), ValueError, "network", "frozen", name)
        require(said[name].requires_grad, ValueError, "network", "detached", name)
        places += [p.data_ptr() or id(p) for p in module.parameters()]
        for p in module.parameters():
            require(not p.is_inference(), ValueError, "network", "inference", name)
            require(bool(p.isfinite().all()), ValueError, "network", "broken", name)
            fits = p.shape[: len(envs.seeds)] == torch.Size(envs.seeds)
            require(fits, ValueError, "network", "seeds", name, tuple(p.shape), envs.seeds)
    require(len(places) == len(set(places)), ValueError, "network", "shared")


def _ask_once(envs, policy, critic) -> dict[str, Tensor]:
    """Both networks about what all environments show: what goes wrong is told in words. Of each what has a gradient."""
    vector = isinstance(envs, VectorBatch)

    def ask(name: str, module, x: Tensor):
        told = name, x.dtype, tuple(x.shape)
        with refusing(RuntimeError, RuntimeError, "network", "cannot read", *told), torch.no_grad():
            answer = module(x)  # all of it first, so that a message tells its shape
            envs.seeds or module(x[:1])  # networks of many seeds would share out what they see among themselves
            return answer

    x = envs.shown(policy) if vector else envs.states
    distribution = ask("policy", policy, x)
    require(isinstance(distribution, Distribution), TypeError, "network", "no distribution", distribution)
    if vector:  # does it choose among the actions that there are?
        numbers = envs.generators[0].get_state()
        envs.choose(policy)
        envs.generators[0].set_state(numbers)
    x = x.unsqueeze(len(envs.seeds) + 1)
    steps, distribution = tuple(x.shape[: len(envs.seeds) + 2]), ask("policy", policy, x)
    got = tuple(distribution.batch_shape)
    require(got == steps, ValueError, "network", "batch shape", steps, distribution, got)
    with refusing(NotImplementedError, TypeError, "network", "no entropy", distribution):
        distribution.entropy()
        same = kl_divergence(distribution, distribution)
    once_more = kl_divergence(distribution, ask("policy", policy, x))  # to the last bit: a new policy says little
    require(torch.equal(same.nan_to_num(), once_more.nan_to_num()), ValueError, "network", "two answers")
    if vector and isinstance(space := envs.action_space, Box):
        with contextlib.suppress(NotImplementedError):  # not every distribution tells
            mean, spread = distribution.mean, 4 * distribution.stddev
            if ((mean + spread < torch.tensor(space.low)) | (mean - spread > torch.tensor(space.high))).all(0).any():
                raise ValueError(refusal("network", "outside", mean.min(), mean.max(), spread.max() / 4, space))
    if critic is not None:
        got = getattr(values := ask("critic", critic, x), "shape", type(values).__name__)
        require(got == steps, ValueError, "network", "values", steps, got)
    with torch.enable_grad():
        distribution = policy(x)
        return {"policy": kl_divergence(distribution, distribution), "critic": None if critic is None else critic(x)}


@torch.enable_grad()
def critic_step(critic, optimizer, rollout, returns: Tensor, config) -> dict:
    explained = explained_variance(rollout.values, returns, rollout.mask, dim=PER_SEED)  # by what it said before
    loss = aggregate(value_loss(critic(rollout.observations), returns), rollout.mask, dim=PER_SEED)
    optimizer_step("critic", critic, optimizer, loss, config)
    return {"value_loss": loss.detach(), "explained_variance": explained}


def optimizer_step(name: str, module: nn.Module, optimizer, loss: Tensor, config) -> Tensor:
    """One step down `loss`, one number a seed. Returns the gradient's Euclidean length, one number a seed."""
    still_held(name, module, optimizer)
    optimizer.zero_grad()
    loss.sum().backward()  # seeds share no parameter, so the sum keeps them apart
    squares = [p.grad.square().reshape(*loss.shape, -1).sum(-1) for p in module.parameters() if p.grad is not None]
    optimizer.step()
    stop_if_diverged(config, {name: sum(p.detach().double().sum() for p in module.parameters())})
    return torch.stack(squares).sum(0).sqrt()


def still_held(name: str, module, optimizer) -> None:
    """RuntimeError if a parameter was replaced or added, got another dtype, or all froze, since `optimizer` took it."""
    held = {p for group in optimizer.param_groups for p in group["params"]}
    own, learn = set(module.parameters()), {p for p in module.parameters() if p.requires_grad}
    half = isinstance(optimizer, torch.optim.Adam) and any(p.dtype == torch.float16 for p in held)
    require(not half, TypeError, "network", "half", name)
    same = all(optimizer.state[p].get("exp_avg", p).dtype == p.dtype for p in held)
    require(same and learn and learn <= held <= own, RuntimeError, "network", "replaced", name)


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
    tensors = {name: x.detach() for name, x in row.items() if isinstance(x, Tensor)}
    return row | {name: x.numpy() if x.ndim else x.item() for name, x in tensors.items()}
