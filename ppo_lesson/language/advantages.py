"""Advantages of every token: the maze's own `gae` over rewards with a price of distance, or GRPO's groups of replies.

Formulas alone, on (B,) scores and (B, T) log-probabilities; where these come from is `rollout`'s business.
"""

import torch
from torch import Tensor

from .. import validate
from ..returns import gae, whiten
from .rollout import ReplyRollout


def shape_rewards(scores: Tensor, logp: Tensor, logp_ref: Tensor, mask: Tensor, beta: float) -> Tensor:
    """r_t = -beta (log pi(y_t) - log pi_ref(y_t)), and the score on the last real token (Ziegler et al. 2019, eq. 2).

    scores: (B,); logp, logp_ref, mask: (B, T) -> (B, T), 0 outside the mask; no gradient. The sum over a reply is its
    score - beta * k1. ValueError for a beta below 0, or a reply without a real token.

    >>> logp, ref = torch.tensor([[-1.0, -2.0, 9.0]]), torch.tensor([[-1.5, -2.0, 0.0]])
    >>> shape_rewards(torch.tensor([1.0]), logp, ref, torch.tensor([[True, True, False]]), beta=0.1)
    tensor([[-0.0500,  1.0000,  0.0000]])
    """
    validate.same_shape({"logp": logp, "logp_ref": logp_ref, "mask": mask})
    beta = validate.number("beta", beta, 0.0, why="A negative beta would reward distance")
    mask = mask.bool()
    validate.require(scores.shape == mask.shape[:1], ValueError, "numbers", "scores", len(mask), tuple(scores.shape))
    if not bool(mask.any(-1).all()):
        raise ValueError(f"mask: reply {int((~mask.any(-1)).nonzero()[0])} has no real token to put its score on")
    k1 = (logp.detach() - logp_ref.detach()).where(mask, 0)
    places = torch.arange(mask.shape[-1], device=mask.device)
    last = torch.where(mask, places, -1).amax(-1, keepdim=True)
    rewards = (0 - beta * k1).scatter_add(-1, last, scores.detach().to(k1)[:, None])
    validate.finite("scores", scores)
    validate.finite("logp - logp_ref", k1)
    return rewards


def group_advantages(scores: Tensor, group_ids: Tensor, *, scale: bool = True) -> Tensor:
    """GRPO: each score minus the mean of its group, over the group's standard deviation (Shao et al. 2024, sec. 4.1.2).

    scores, group_ids: (B,) -> (B,). Unbiased deviation + 1e-6; a group of one, or of equal scores, gets 0.
    scale=False leaves the division out (Liu et al. 2025, "Dr. GRPO").

    >>> group_advantages(torch.tensor([1.0, 3.0, 5.0, 5.0]), torch.tensor([0, 0, 1, 1]), scale=False)
    tensor([-1.,  1.,  0.,  0.])
    """
    validate.same_shape({"scores": scores, "group_ids": group_ids})
    validate.finite("scores", scores)
    scores = validate.at_least_float32(scores + 0.0)  # counts and verdicts too; a square ends float16 at 256
    _, group, size = group_ids.unique(return_inverse=True, return_counts=True)
    lowest = torch.zeros(len(size)).to(scores).scatter_reduce(0, group, scores, "amin", include_self=False)
    above = scores - lowest[group]  # 0 where all are equal: the rounding of a mean, over no spread, is not small
    centred = above - (torch.zeros(len(size)).to(scores).index_add(0, group, above) / size)[group]
    if not scale:
        return centred
    variance = torch.zeros(len(size)).to(scores).index_add(0, group, centred.square()) / (size - 1).clamp(min=1)
    return centred / (variance.sqrt()[group] + 1e-6)


def advantages_of(rollout: ReplyRollout, config, beta: float, group_ids: Tensor) -> tuple[Tensor, Tensor | None]:
    """(B, T) advantages, by the maze's own `gae` or by groups, and the critic's targets (None without a critic)."""
    if config.advantages == "group":
        weights = group_advantages(rollout.scores - beta * rollout.kl_ref, group_ids, scale=config.scale_groups)
        return weights[:, None].expand(rollout.mask.shape).where(rollout.mask, 0), None
    mask = rollout.mask
    rewards = shape_rewards(rollout.scores, rollout.logp, rollout.logp_ref, mask, beta)
    next_values = torch.cat([rollout.values[:, 1:], rollout.values[:, :1]], -1)
    last = mask & ~torch.cat([mask[:, 1:], torch.zeros_like(mask[:, :1])], -1)  # a reply ends where its mask ends
    about = {"terminated": last, "mask": mask, "gamma": config.gamma, "lam": config.lam}
    advantages, returns = gae(rewards, rollout.values, next_values, **about)
    return (whiten(advantages, mask) if config.whiten_advantages else advantages), returns
