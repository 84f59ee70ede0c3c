"""reply_ratio: GSPO's one ratio for a whole reply."""

import torch

from ..check import Exercise, close, rows
from .group_loss import draw as batch


def reply_ratio(logp, logp_old, mask):
    """exp of the mean over a reply's real tokens of log pi - log pi_old: (B, T), (B, T), (B, T) -> (B,)."""
    difference = torch.where(mask, logp - logp_old.detach(), 0.0)
    return torch.exp(difference.sum(-1) / mask.sum(-1))


def draw(shape, seed, dtype=torch.float64):
    logp, old, _, mask = batch(shape, seed, 1.0, dtype)
    return logp, old, mask


cases = rows("reply_ratio", draw)


def of_one_token_it_is_the_tokens(fn):
    logp, old, mask = draw([5, 1], 6)
    close(fn(logp, old, mask), torch.exp(logp - old)[:, 0], case=(logp, old, mask))


EXERCISE = Exercise(solution=reply_ratio, cases=cases, gradient=("logp",))
