"""group_advantages: GRPO's advantage."""

import torch

from ..check import Exercise, close, require, rows


def group_advantages(scores, group_ids):
    """Each score minus the mean of its group, over the group's standard deviation: (B,), (B,) -> (B,)."""
    advantages = torch.zeros_like(scores)
    for group in group_ids.unique():
        here = group_ids == group
        centred = scores[here] - scores[here].mean()
        variance = centred.square().sum() / max(1, len(centred) - 1)
        advantages[here] = centred / (variance.sqrt() + 1e-6)
    return advantages


def _case(groups, seed, dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)
    ids = torch.tensor(groups)
    level = torch.randn(int(ids.max()) + 1, generator=g, dtype=dtype) * 3  # some prompts are easy
    return level[ids] + torch.randn(len(ids), generator=g, dtype=dtype), ids


def zero_in_every_group(fn):
    scores, ids = _case([0, 1, 1, 0, 2, 0, 2, 1], 5)
    found = fn(scores, ids)
    for group in ids.unique():
        close(found[ids == group].sum(), 0.0, case=(scores, ids), atol=1e-6)


def easy_prompts_do_not_matter(fn):
    scores, ids = _case([0, 0, 1, 1, 0, 1], 6)
    close(fn(scores + 50.0 * (ids == 1), ids), fn(scores, ids), case=(scores, ids), rtol=1e-4, atol=1e-6)


def finite(fn):
    for scores, ids in ((torch.ones(4), torch.tensor([0, 0, 1, 1])), (torch.tensor([3.0]), torch.tensor([7]))):
        found = fn(scores, ids)
        require(bool((found == 0).all()), f"equal scores gave {found.tolist()}", case=(scores, ids))


EXERCISE = Exercise(solution=group_advantages, cases=rows("group_advantages", _case))
