"""Trust region policy optimization (Schulman et al. 2015): the longest step that keeps KL(pi_old || pi) <= delta.

    g = gradient of the surrogate        F = Hessian of the KL at the old policy, the Fisher information matrix
    solve F s = g by conjugate gradient  scale s so that 1/2 s^T F s = delta  shorten it until the true KL agrees

F is never built: conjugate gradient asks only for products F v, and two backward passes give one (appendix C.1).
Works for any policy whose distribution torch can compare with `kl_divergence`. Left out: many seeds at once, and a
critic inside the trust region: `trpo` fits it by itself.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from numbers import Integral

import torch
from torch import Tensor, nn
from torch.distributions import kl_divergence

from .loop import check_common, critic_step, finish_row, make_envs
from .normalize import RewardScale, observe
from .objectives import surrogate
from .returns import whiten
from .validate import as_float, finite, helpful, integer, not_empty, require, same_shape


@helpful
@dataclass(frozen=True)
class TRPOConfig:
    """`iterations` updates of robots x steps steps; the critic takes critic_steps Adam steps after each.

    damping: 0.1 for networks. robots, normalize_rewards: as in `PPOConfig`.
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
    require(isinstance(seed, Integral), TypeError, "run", "trpo: one seed", seed)
    envs = make_envs(env, config, seed)
    check_common(envs, policy, critic, config)
    optimizer = torch.optim.Adam(critic.parameters(), lr=config.critic_lr)
    scale_rewards = RewardScale(config.gamma) if config.normalize_rewards else None
    for iteration in range(config.iterations):
        rollout = envs.collect(policy, config.steps, critic)
        if scale_rewards is not None:
            rollout.rewards = scale_rewards(rollout.rewards, rollout.ended, rollout.mask)
        advantages, returns = rollout.gae(config.gamma, config.lam)
        weights = whiten(advantages, rollout.mask)
        flat = [x[rollout.mask] for x in (rollout.observations, rollout.actions, weights)]  # (n, ...)
        row = {"iteration": iteration} | trpo_step(policy, *flat, delta=config.delta, damping=config.damping)
        for _ in range(config.critic_steps):
            row |= critic_step(critic, optimizer, rollout, returns, config)
        row["entropy"] = policy(flat[0]).entropy().mean().detach()
        observe(flat[0], policy, critic)
        yield finish_row(row, torch.tensor((iteration + 1) * envs.n * config.steps), rollout, config)


def fisher_vector_product(
    policy: nn.Module, observations: Tensor, vector: Tensor, *, damping: float, weights: Tensor | None = None
) -> Tensor:
    """F v + damping * v, where F is the Hessian of mean KL(pi_old || pi) at pi = pi_old. vector: (P,) -> (P,).

    observations: as `policy` takes them. weights: one for each observation, instead of the plain mean.
    """
    return _fisher(policy, observations, damping, weights)(vector)


def conjugate_gradient(matvec: Callable, b: Tensor, *, iterations: int = 10, tol: float = 1e-10) -> Tensor:
    """x with matvec(x) = b for a symmetric positive definite matvec, (P,) -> (P,); stops when |residual|^2 < tol.

    Exact after P iterations without rounding; far fewer are enough (Nocedal and Wright 2006, algorithm 5.2). It ends
    early, too, in a direction without curvature, where no step is the best one.

    >>> A = torch.tensor([[2.0, 1.0], [1.0, 3.0]])
    >>> conjugate_gradient(lambda v: A @ v, torch.tensor([3.0, 4.0])).round(decimals=5)
    tensor([1., 1.])
    """
    integer("iterations", iterations, 1)
    finite("b", b)
    x, residual = torch.zeros_like(b), b.clone()
    direction, error = residual.clone(), residual @ residual
    for _ in range(iterations):
        if error < tol:
            break
        product = matvec(direction)
        curvature = direction @ product
        if not curvature > 0:
            break
        step = error / curvature
        x, residual = x + step * direction, residual - step * product
        new_error = residual @ residual
        direction, error = residual + new_error / error * direction, new_error
    return x


@torch.enable_grad()
def trpo_step(
    policy: nn.Module,
    observations: Tensor,
    actions: Tensor,
    advantages: Tensor,
    *,
    delta: float = 0.01,
    damping: float = 0.1,
    iterations: int = 10,
    shrink: float = 0.8,
    tries: int = 10,
    weights: Tensor | None = None,
) -> dict:
    """One TRPO update of `policy`, in place; the old parameters come back if no step length is acceptable.

    observations, actions, advantages: one entry a step, same leading shape. weights: how much each entry counts,
    instead of the plain mean. The step length uses the damped F; shrink**k times it is accepted when KL <= delta and
    the surrogate improved (the paper, appendix C). Use damping 1e-3 for the tabular maze: 0.1 swamps its Fisher matrix.
    Returns diagnostics: accepted, kl, kl_before_line_search, surrogate_gain, step_fraction, grad_norm.
    ValueError for a delta that is not positive, a negative damping, a shrink outside (0, 1), non-finite advantages, or
    weights that are negative or all zero.
    """
    fits = 0 < as_float(delta) < torch.inf and 0 <= as_float(damping) < torch.inf
    require(fits, ValueError, "numbers", "delta, damping", delta, damping)
    require(0 < as_float(shrink) < 1, ValueError, "numbers", "shrink", shrink)
    integer("tries", tries, 1)
    same_shape({"advantages": advantages, "weights": weights})
    not_empty("advantages", advantages)
    if weights is not None and not (bool((weights >= 0).all()) and 0 < weights.sum() < torch.inf):
        raise ValueError(f"weights must not be negative and not all zero; got {weights.min():g} to {weights.max():g}")
    parameters = [p for p in policy.parameters() if p.requires_grad]
    require(parameters, ValueError, "network", "frozen", "policy")
    with torch.no_grad():  # a constant that later changes of the parameters do not touch
        old = policy(observations)
    logp_old = old.log_prob(actions)

    def objective() -> Tensor:
        return _mean(surrogate(policy(observations).log_prob(actions), logp_old, advantages), weights)

    start, before = _flat(p.detach() for p in parameters), objective()
    g = _gradient(before, parameters)
    result = {"accepted": False, "kl": 0.0, "surrogate_gain": 0.0, "step_fraction": 0.0, "grad_norm": g.norm().item()}
    if not g.any():
        return result
    matvec = _fisher(policy, observations, damping, weights)
    direction = conjugate_gradient(matvec, g / g.norm(), iterations=iterations)  # its length does not matter
    full = torch.sqrt(2 * delta / (direction @ matvec(direction))) * direction
    if not bool(full.isfinite().all()):
        return result  # no curvature in the gradient's direction: no step length follows from delta
    for k in range(tries):
        _assign(parameters, start + shrink**k * full)
        with torch.no_grad():
            kl = _mean(kl_divergence(old, policy(observations)), weights).item()
            gain = (objective() - before).item() if kl <= delta else 0.0
        result.setdefault("kl_before_line_search", kl)
        if gain > 0:
            return result | {"accepted": True, "kl": kl, "surrogate_gain": gain, "step_fraction": shrink**k}
    _assign(parameters, start)
    return result


def _fisher(policy: nn.Module, observations: Tensor, damping: float, weights: Tensor | None) -> Callable:
    """`fisher_vector_product` as a function of the vector: the gradient of the KL is built once for all vectors."""
    parameters = [p for p in policy.parameters() if p.requires_grad]
    with torch.no_grad():
        old = policy(observations)
    kl = kl_divergence(old, policy(observations))
    same_shape({"KL of each observation": kl, "weights": weights})
    gradient = _gradient(_mean(kl, weights), parameters, create_graph=True)
    return lambda v: _gradient(gradient @ v, parameters, retain_graph=True) + damping * v


def _mean(x: Tensor, weights: Tensor | None) -> Tensor:
    return x.mean() if weights is None else (weights * x).sum() / weights.sum()


def _gradient(output: Tensor, parameters: list[Tensor], **graph: bool) -> Tensor:
    """d output / d parameters as one vector; 0 for a parameter that plays no part in it."""
    return _flat(torch.autograd.grad(output, parameters, materialize_grads=True, **graph))


def _flat(tensors) -> Tensor:
    return torch.cat([t.reshape(-1) for t in tensors])


@torch.no_grad()
def _assign(parameters: list[Tensor], flat: Tensor) -> None:
    """Write a flat vector back into the parameters."""
    for p, part in zip(parameters, flat.split([p.numel() for p in parameters])):
        p.copy_(part.view_as(p))
