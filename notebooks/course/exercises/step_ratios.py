"""step_ratios: the ratio at each optimizer step of one rollout."""

import torch

from ..check import Exercise, close, require, rows


def step_ratios(logps, batches):
    """pi / pi_old of the tokens that each optimizer step uses; old: before the first of them. -> (K, M)."""
    now = logps.gather(1, batches)
    old = logps[0][batches]
    return torch.exp(now - old)


def draw(steps, tokens, size, seed, dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)
    first = -torch.rand(tokens, generator=g, dtype=dtype) - 0.5
    moves = 0.2 * (torch.rand(steps, tokens, generator=g, dtype=dtype) - 0.5)
    moves[0] = 0
    order = [torch.randperm(tokens, generator=g)[:size] for _ in range(steps)]
    return first + moves.cumsum(0).clamp(max=0.4), torch.stack(order)


cases = rows("step_ratios", draw)


def one_before_the_first_step(fn):
    logps, batches = draw(4, 6, 3, 8)
    found = fn(logps, batches)
    close(found[0], torch.ones(3), case=(logps, batches))
    require(bool((found[1:] != 1).all()), case=(logps, batches), got=found)


EXERCISE = Exercise(solution=step_ratios, cases=cases)
