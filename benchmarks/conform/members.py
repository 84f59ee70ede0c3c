"""PPO's family by enumeration: every group of three replies there is, each member's gradient from its own formula.

A reply is a run of yes ended by no, at most four tokens; the policy has two logits for each place. The formulas are
written out token by token in plain floats, without a line of anybody's library.
"""

import math
import statistics
from itertools import combinations_with_replacement

import torch

EPS, HIGHER, NARROW, WEIGHT, DISTANCE, CAP, SIZE = 0.2, 0.28, 0.02, 0.1, 0.005, 1.2, 3
REPLIES = [[0], [1, 0], [1, 1, 0], [1, 1, 1, 0], [1, 1, 1, 1]]
SCORES = torch.tensor([0.2, 1.0, -0.5, 0.7, 0.0], dtype=torch.float64)
MASK = torch.arange(4) < torch.tensor([len(y) for y in REPLIES])[:, None]
TOKENS = torch.tensor([y + [0] * (4 - len(y)) for y in REPLIES])
MEMBERS = {  # advantage, ratio, limit, mean
    "RLOO": ("rloo", "token", "clip", "token-mean"),
    "RLOO, ratio of a whole reply": ("rloo", "product", "clip", "seq-mean-token-sum"),
    "GRPO": ("scaled", "token", "clip", "seq-mean-token-mean"),
    "Dr. GRPO": ("mean", "token", "clip", "seq-mean-token-sum"),
    "DAPO": ("scaled", "token", "higher", "token-mean"),
    "GSPO": ("scaled", "sequence", "narrow", "seq-mean-token-mean"),
    "CISPO": ("scaled", "token", "cispo", "token-mean"),
    "DPPO, total variation": ("scaled", "token", "tv", "token-mean"),
    "DPPO, binary KL": ("scaled", "token", "kl", "token-mean"),
    "TIS": ("mean", "token", "tis", "token-mean"),
}
CASES = {"on policy": 0.0, "off policy": 0.8}  # how far pi lies from old


def limits(limit: str) -> tuple[float, float]:
    """(low, high): how far a ratio may fall and rise; of DPPO, the distance."""
    of = {"higher": (EPS, HIGHER), "narrow": (NARROW, NARROW), "cispo": (1.0, WEIGHT)}  # 1: no limit from below
    return (DISTANCE, DISTANCE) if limit in ("tv", "kl") else of.get(limit, (EPS, EPS))


def logits(seed: int) -> torch.Tensor:
    return torch.randn(4, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def logps(x) -> torch.Tensor:
    """(5, 4): log pi of each token of each reply, 0 after its end."""
    return x.log_softmax(-1)[torch.arange(4), TOKENS].where(MASK, 0)


def errors(loss, member: str, case: str) -> tuple[float, float]:
    """(from the formula, from the truth) of the expected gradient of -loss(logp, old, scores, mask, sampler).

    The first is a relative error, the second 1 - cosine with the gradient of the mean score. TIS samples by a third
    policy; all others by the old one.
    """
    old = logits(0)
    x = (old + CASES[case] * logits(1)).requires_grad_()
    before = logps(old)
    sampler = logps(old + 0.5 * logits(2)) if member == "TIS" else before
    chances, total, right = sampler.sum(-1).exp().tolist(), 0.0, 0.0
    for group in combinations_with_replacement(range(5), SIZE):
        which, logp = list(group), logps(x)
        times = math.factorial(SIZE) / math.prod(math.factorial(which.count(i)) for i in set(which))
        p = times * math.prod(chances[i] for i in which)
        given = logp[which], before[which], SCORES[which], MASK[which], sampler[which]
        total = total - p * loss(*given)
        right = right + p * (slopes(member, *(part.tolist() for part in given)) * given[0]).sum()
    true = (logps(x).sum(-1).exp() * SCORES).sum()
    got, formula, gradient = (torch.autograd.grad(y, x, retain_graph=True)[0].flatten() for y in (total, right, true))
    cosine = torch.nn.functional.cosine_similarity(got, gradient, 0).item()
    return ((got - formula).norm() / formula.norm()).item(), 1 - cosine


def slopes(member: str, logp, old, scores, mask, sampler) -> torch.Tensor:
    """d objective / d log pi of each token of one group."""
    advantage, ratio, limit, mean = MEMBERS[member]
    lengths, found = [sum(row) for row in mask], []
    for i, n in enumerate(lengths):
        A = scores[i] - statistics.fmean(scores)
        if advantage == "rloo":
            A = scores[i] - statistics.fmean(scores[:i] + scores[i + 1 :])
        if advantage == "scaled":
            A = 0.0 if max(scores) == min(scores) else A / statistics.stdev(scores)
        logs = [new - was for new, was in zip(logp[i][:n], old[i][:n])]
        share = {"token-mean": 1 / sum(lengths), "seq-mean-token-mean": 1 / n / SIZE}.get(mean, 1 / SIZE)
        row = [0.0] * len(mask[i])
        for t in range(n):
            r = math.exp({"token": logs[t], "sequence": sum(logs) / n, "product": sum(logs)}[ratio])
            p, q = math.exp(logp[i][t]), math.exp(old[i][t])
            low, high = limits(limit)
            outside = (r > 1 + high) if A > 0 else (r < 1 - low)
            if limit in ("tv", "kl"):
                kl = q * math.log(q / p) + (1 - q) * math.log((1 - q) / (1 - p))
                outside = (r > 1) == (A > 0) and (abs(p - q) if limit == "tv" else kl) > DISTANCE
            weight = min(r, 1 + WEIGHT) if limit == "cispo" else 0.0 if outside else r
            if limit == "tis":
                weight *= min(q / math.exp(sampler[i][t]), CAP)
            row[t] = share * weight * A
        found.append(row)
    return torch.tensor(found, dtype=torch.float64)
