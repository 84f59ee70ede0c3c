"""Advantages of every token: the maze's own `gae` over rewards with a price of distance, or groups of replies.

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
    validate.same_shape({"logp": logp, "logp_ref": logp_ref}, reals=True)
    validate.require(mask is not None, TypeError, "numbers", "no tensor", "mask", "None")
    beta = validate.number("beta", beta, 0.0, why="A negative beta would reward distance")
    mask = validate.flags("mask", mask)
    validate.same_shape({"scores": scores})
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
    good, got = group_ids.ndim == 1 and not group_ids.is_floating_point(), (group_ids.dtype, tuple(group_ids.shape))
    validate.require(good, ValueError, "numbers", "no groups", len(scores) if scores.ndim else 1, *got)
    validate.not_empty("scores", scores)
    validate.finite("scores", scores)
    scores = validate.at_least_float32(scores + 0.0)  # counts and verdicts too; a square ends float16 at 256
    _, group, size = group_ids.unique(return_inverse=True, return_counts=True)
    lowest = torch.zeros(len(size)).to(scores).scatter_reduce(0, group, scores, "amin", include_self=False)
    above = scores - lowest[group]  # 0 where all are equal: the rounding of a mean, over no spread, is not small
    centred = above - (torch.zeros(len(size)).to(scores).index_add(0, group, above) / size)[group]
    if not scale:
        return centred
    variance = torch.zeros(len(size)).to(scores).index_add(0, group, centred.square()) / (size - 1).clamp(min=1)
    validate.finite("the variance of scores", variance)  # else all advantages would be 0
    return centred / (variance.sqrt()[group] + 1e-6)


def rloo_advantages(scores: Tensor, group_ids: Tensor) -> Tensor:
    """RLOO: each score minus the mean of the *other* scores of its group (Ahmadian et al. 2024, arXiv 2402.14740v2).

    scores, group_ids: (B,) -> (B,). n / (n - 1) times the distance from the mean of all; a group of one gets 0.

    >>> rloo_advantages(torch.tensor([1.0, 3.0, 5.0, 7.0]), torch.tensor([0, 0, 1, 2]))
    tensor([-2.,  2.,  0.,  0.])
    """
    centred = group_advantages(scores, group_ids, scale=False)  # which looks at both
    _, group, size = group_ids.unique(return_inverse=True, return_counts=True)
    return centred * (size.to(centred) / (size - 1).clamp(min=1))[group]


def varied_groups(scores: Tensor, group_ids: Tensor) -> Tensor:
    """Which replies, (B,), stand in a group whose scores, before any price, differ (DAPO, arXiv 2503.14476v2, eq. 11).

    >>> varied_groups(torch.tensor([1.0, 3.0, 5.0, 5.0]), torch.tensor([0, 0, 1, 1]))
    tensor([ True,  True, False, False])
    """
    differs = (group_advantages(scores, group_ids, scale=False) != 0).float()  # exactly 0 where all are alike
    _, group = group_ids.unique(return_inverse=True)
    return (torch.zeros_like(differs).index_add(0, group, differs) > 0)[group]


def overlong_penalty(lengths: Tensor, longest: int, buffer: int) -> Tensor:
    """0 up to longest - buffer tokens, then a line down to -1 at `longest` (DAPO, arXiv 2503.14476v2, eq. 13).

    >>> overlong_penalty(torch.tensor([3, 8, 9, 12]), longest=12, buffer=4)
    tensor([ 0.0000,  0.0000, -0.2500, -1.0000])
    """
    validate.integer("buffer", buffer, 1, longest)
    return ((longest - buffer - lengths) / buffer).clamp(-1, 0)


def length_adaptive_lam(mask: Tensor, alpha: float) -> Tensor:
    """lambda = 1 - 1 / (alpha * l) for a reply of l tokens, at least 0 (VAPO, arXiv 2504.05118v3). (B, T) -> (B, 1).

    >>> length_adaptive_lam(torch.ones(1, 100), alpha=0.05)
    tensor([[0.8000]])
    """
    return (1 - 1 / (validate.positive("alpha", alpha) * mask.bool().sum(-1, keepdim=True))).clamp(min=0)


def advantages_of(rollout: ReplyRollout, config, beta: float, group_ids: Tensor) -> tuple[Tensor, Tensor | None]:
    """(B, T) advantages, by the maze's own `gae` or by groups, and the critic's targets (None without a critic)."""
    mask, scores = rollout.mask, rollout.scores
    if config.overlong_buffer:
        price = overlong_penalty(mask.sum(-1), config.max_new_tokens, config.overlong_buffer)
        scores = scores + config.overlong_penalty * price
    if config.advantages != "gae":
        scores = scores - beta * rollout.kl_ref
        rloo, scale = config.advantages == "rloo", config.scale_groups
        weights = rloo_advantages(scores, group_ids) if rloo else group_advantages(scores, group_ids, scale=scale)
        return weights[:, None].expand(mask.shape).where(mask, 0), None
    rewards = shape_rewards(scores, rollout.logp, rollout.logp_ref, mask, beta)
    next_values = torch.cat([rollout.values[:, 1:], rollout.values[:, :1]], -1)
    last = mask & ~torch.cat([mask[:, 1:], torch.zeros_like(mask[:, :1])], -1)  # a reply ends where its mask ends
    steps, about = (rewards, rollout.values, next_values), {"terminated": last, "mask": mask, "gamma": config.gamma}
    lam = config.lam if config.lam_alpha is None else length_adaptive_lam(mask, config.lam_alpha)
    advantages, returns = gae(*steps, **about, lam=lam)
    if config.critic_lam is not None:  # decoupled: the critic's targets have a trace of their own (VC-PPO)
        returns = gae(*steps, **about, lam=config.critic_lam)[1]
    return (whiten(advantages, mask) if config.whiten_advantages else advantages), returns
