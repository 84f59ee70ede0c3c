"""shape_rewards: one score a reply and the price of every token become one reward a token."""

import torch

from ..check import Exercise, close, examples, require, rows


def shape_rewards(scores, logp, logp_ref, mask, beta):
    """-beta (log pi - log pi_ref) on every real token, and the score on the last real one: (B, T)."""
    with torch.no_grad():  # a reward is data
        rewards = torch.where(mask, -beta * (logp - logp_ref), 0.0)
        last = torch.where(mask, torch.arange(mask.shape[1]), -1).amax(-1)  # (B,)
        rewards[torch.arange(len(scores)), last] += scores
    return rewards


def _replies(seed, starts, ends, tokens, beta, *, padding=None, dtype=torch.float32):
    """Replies that fill the columns starts ... ends - 1; elsewhere stands `padding`, or numbers like all others."""
    g = torch.Generator().manual_seed(seed)
    places = torch.arange(tokens)
    mask = (places >= torch.tensor(starts)[:, None]) & (places < torch.tensor(ends)[:, None])
    logp = -3 * torch.rand(mask.shape, generator=g, dtype=dtype) - 0.1
    logp_ref = logp + 0.4 * torch.randn(mask.shape, generator=g, dtype=dtype)
    if padding is not None:
        logp, logp_ref = logp.where(mask, padding), logp_ref.where(mask, -padding)
    return torch.randn(len(starts), generator=g, dtype=dtype), logp, logp_ref, mask, beta


cases = rows("shape_rewards", _replies)


def sums(fn):
    for case in cases():
        scores, logp, logp_ref, mask, beta = case
        want = scores - beta * (logp - logp_ref).where(mask, 0.0).sum(-1)
        close(fn(*case).sum(-1), want, case=case, rtol=1e-4, atol=1e-6)


def same_model(fn):
    scores, logp, _, mask, beta = case = _replies(8, (0, 0), (3, 4), 4, 0.5)
    got = fn(scores, logp, logp.clone(), mask, beta)
    close(got, torch.tensor([[0, 0, scores[0], 0], [0, 0, 0, scores[1]]]), case=case)


def data(fn):
    scores, logp, logp_ref, mask, beta = case = cases()[3]
    got = fn(scores, logp.clone().requires_grad_(), logp_ref, mask, beta)
    require(not got.requires_grad, case=case, mistake="not_data")


def nan_outside(fn):
    case = _replies(7, (0, 0), (2, 3), 4, 0.1, padding=torch.nan)
    got = fn(*case)
    if got.isnan().any():  # which mistake is it? The one that does the same with plain numbers there
        plain = _replies(7, (0, 0), (2, 3), 4, 0.1, padding=1.0)
        close(fn(*plain), shape_rewards(*plain), "With 1 there, your rewards are wrong too.", case=plain)
        require(False, case=case, got=got, mistake="times_mask")
    close(got, shape_rewards(*case), case=case)


EXERCISE = Exercise(solution=shape_rewards, cases=cases, suite=examples("shape_rewards"))
