"""The right numbers, without a line of anybody's library: enumeration, definitions term by term, plain floats."""

import math
import statistics

import torch

ACTIONS, SEEDS, TINY = 20, 100, 1e-300
SETTINGS = {"on policy": (0.0, 0.5), "off policy": (0.3, 0.5), "on policy, far from home": (0.0, 3.0)}


def kl_errors(term, moved: float, far: float) -> tuple[float, float]:
    """(value, gradient): the medians over 100 policies of the relative error of a KL term for a loss.

    term(logp, logp_ref, logp_old) -> (20,), one number an action. Its mean under the old policy, which sampled, is
    taken over all 20 actions, as is KL(pi || pi_ref) itself. `far`: how far old lies from ref, `moved`: pi from old.
    """
    value_errors, gradient_errors = [], []
    for seed in range(SEEDS):
        g = torch.Generator().manual_seed(seed)
        ref = torch.randn(ACTIONS, generator=g, dtype=torch.float64)
        old = ref + far * torch.randn(ACTIONS, generator=g, dtype=torch.float64)
        logits = (old + moved * torch.randn(ACTIONS, generator=g, dtype=torch.float64)).requires_grad_()
        logp, logp_ref, logp_old = logits.log_softmax(0), ref.log_softmax(0), old.log_softmax(0)
        true = (logp.exp() * (logp - logp_ref)).sum()
        (right,) = torch.autograd.grad(true, logits, retain_graph=True)
        mean = (logp_old.exp() * term(logp, logp_ref, logp_old)).sum()
        (got,) = torch.autograd.grad(mean, logits)
        value_errors.append(((mean - true) / true).abs().item())
        gradient_errors.append(((got - right).norm() / right.norm()).item())
    return statistics.median(value_errors), statistics.median(gradient_errors)


def aggregated(x, mask, how: str) -> tuple[float, list[list[float]]]:
    """The mean of a matrix of token losses and its gradient, by counting. Replies without a token count as none."""
    lengths = [int(row.sum()) for row in mask]
    replies = sum(length > 0 for length in lengths)
    weight = {
        "token-mean": lambda length: 1 / sum(lengths),
        "seq-mean-token-mean": lambda length: 1 / length / replies,
        "seq-mean-token-sum": lambda length: 1 / replies,
    }[how]
    slopes = [[weight(n) if m else 0.0 for m in row.tolist()] for row, n in zip(mask, lengths)]
    return sum(w * v for row, values in zip(slopes, x.tolist()) for w, v in zip(row, values) if w), slopes


def returns_by_definition(rewards, values, mask, gamma: float, lam: float) -> list[list[float]]:
    """values + sum over l of (gamma lam)^l delta, over a reply's real tokens alone: the others are not there."""
    table = []
    for r, v, m in zip(rewards.tolist(), values.tolist(), mask.tolist()):
        real = [t for t in range(len(m)) if m[t]]
        following = [v[t] for t in real[1:]] + [0.0]
        delta = [r[t] + gamma * after - v[t] for t, after in zip(real, following)]
        row = [0.0] * len(m)
        for i, t in enumerate(real):
            row[t] = v[t] + sum((gamma * lam) ** k * d for k, d in enumerate(delta[i:]))
        table.append(row)
    return table


def clipped(logp, old, advantages, mask, eps: float) -> tuple[float, list[list[float]]]:
    """The clipped loss as a mean over tokens, and its gradient in logp, case by case (PPO, eq. 7)."""
    total, slopes, n = 0.0, [], int(mask.sum())
    for new, before, weights, real in zip(logp.tolist(), old.tolist(), advantages.tolist(), mask.tolist()):
        slopes.append([0.0] * len(real))
        for t in (t for t, m in enumerate(real) if m):
            ratio, A = math.exp(new[t] - before[t]), weights[t]
            outside = ratio > 1 + eps if A > 0 else ratio < 1 - eps
            total -= A * (min(max(ratio, 1 - eps), 1 + eps) if outside else ratio) / n
            slopes[-1][t] = 0.0 if outside else -A * ratio / n
    return total, slopes


def groups(scores, size: int, scale: bool) -> list[float]:
    """Each score minus its group's mean, over the group's unbiased deviation if `scale`. Without spread: 0."""
    found = []
    for i in range(0, len(scores), size):
        group = [float(x) for x in scores[i : i + size]]
        mean = statistics.fmean(group)
        spread = statistics.stdev(group) if size > 1 else 0.0
        even = max(group) == min(group)
        found += [0.0 if even else (x - mean) / (spread if scale else 1.0) for x in group]
    return found
