"""Numbers of an update of `ppo` that are known before the run: whatever else they are, they show a bug.

`ppo_update` asks for them beside its work; none of them takes part in it, and without them it would learn the same.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Taken(NamedTuple):
    """One optimizer's step: losses and gradient norm before it, and which seeds took it; one entry a seed."""

    policy_loss: Tensor
    value_loss: Tensor
    grad_norm: Tensor
    active: Tensor


@torch.no_grad()
def known(part, logp: Tensor, rollout, returns: Tensor, config) -> dict:
    """Of the first mini-batch `part`, under the policy that collected it: logp (*seeds, n), returns as the rollout's.

    ratio_error: the largest |ratio - 1|, must be 0. advantage_std: of the weights, 1 if they are whitened.
    target_error: the largest |target - (r + gamma V(s'), or r if terminated)| on last steps of episodes, must be 0:
    there GAE has nothing to add. stale_starts: share of steps that begin in the state in which an episode terminated.
    """
    last = rollout.rewards + config.gamma * rollout.next_values * ~rollout.terminated
    error = torch.where(rollout.ended, (returns - last).abs(), -torch.inf).amax((-2, -1))
    time = rollout.mask.ndim - 1
    now, before = rollout.observations, rollout.next_observations
    now, before = now.narrow(time, 1, now.shape[time] - 1), before.narrow(time, 0, now.shape[time] - 1)
    stale = rollout.terminated[..., :-1] & rollout.mask[..., 1:]
    same = now == before
    stale = stale & (same if same.ndim == stale.ndim else same.flatten(stale.ndim).all(-1))
    row = {
        "ratio_error": ((logp.detach() - part.logp_old).exp() - 1).abs().amax(-1),
        "target_error": error.where(rollout.ended.any((-2, -1)) if error.ndim else rollout.ended.any(), torch.nan),
        "stale_starts": stale.double().mean((-2, -1)),
    }
    return row | ({"advantage_std": part.advantages.std(-1)} if config.whiten and part.advantages.shape[-1] > 1 else {})


def gradient_error(optimizer, losses, part, config) -> Tensor:
    """How far the gradient of the loss is from what PPO's must be at ratio 1, the largest relative error; must be 0.

    d loss / d logp = -weight / n     d loss / d values = value_coef (V - target) / n
    d loss / d entropy = -entropy_coef / n     what the optimizer holds = d loss / d parameters (the last tensor's)
    Asked after `optimizer.backward(..., keep_graph=True)`.
    """
    weights, error = part.advantages, (losses.values - part.returns).detach()
    known = [(losses.logp, -weights), (losses.values, config.value_coef * error)]
    if losses.entropy is not None:
        known.append((losses.entropy, torch.full_like(losses.entropy, -config.entropy_coef)))
    asked = [*(x for x, _ in known), optimizer.parameters[-1]]
    *gradients, last = torch.autograd.grad(losses.total.sum(), asked, materialize_grads=True)
    n, last = weights.shape[-1], last.reshape(*weights.shape[:-1], -1)
    pairs = [(g * n, right) for g, (_, right) in zip(gradients, known)]
    pairs.append((optimizer.grad[..., -last.shape[-1] :], last))
    return torch.stack([(g - true).abs().amax(-1) / true.abs().amax(-1).clamp(min=1e-12) for g, true in pairs]).amax(0)


def of_steps(taken: list[Taken]) -> dict:
    """Losses and norm of the last step that each seed took, and how far they fell; nothing if none was taken.

    policy_gain, value_gain: how far the last mini-batch's loss lies below the first one's (value_gain: as a share of
    it); NaN after one step; after more, exactly 0 if something runs in a circle.
    """
    if not taken:
        return {}
    row = taken[0]._asdict()
    for step in taken[1:]:
        row = {name: x.where(step.active, row[name]) for name, x in step._asdict().items()}
    count = torch.stack([step.active for step in taken]).sum(0)
    row["policy_gain"] = (taken[0].policy_loss - row["policy_loss"]).where(count > 1, torch.nan)
    row["value_gain"] = (1 - row["value_loss"] / taken[0].value_loss).where(count > 1, torch.nan)
    del row["active"]
    return row
