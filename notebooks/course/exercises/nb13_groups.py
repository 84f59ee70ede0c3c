"""Exercise 13.group_advantages: GRPO's advantage, a reply among the replies to its own prompt."""

from __future__ import annotations

import torch

from ..check.spec import Exercise, Mistake, close, require


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


def _cases():
    return [
        (torch.tensor([1.0, 3.0]).double(), torch.tensor([0, 0])),
        (torch.tensor([1.0, 1.001]).double(), torch.tensor([0, 0])),  # so close that it matters where 1e-6 is added
        (torch.tensor([1.0, 3.0, 5.0, 5.0]).double(), torch.tensor([0, 0, 1, 1])),  # a group without differences
        (torch.tensor([2.0, 7.0, 1.0]).double(), torch.tensor([4, 9, 4])),  # a group of one
        _case([0, 0, 0, 1, 1, 1, 2, 2, 2], 1),
        _case([0, 1, 2, 0, 1, 2, 0, 1, 2], 2),  # shuffled
        _case([3, 3, 3, 3, 0, 0, 1, 1, 1, 1, 1], 3),  # of different sizes
        _case([0, 0, 0, 0, 1, 1, 1, 1], 4, torch.float32),
    ]


def _zero_in_every_group(fn):
    """In every group the advantages sum to 0."""
    scores, ids = _case([0, 1, 1, 0, 2, 0, 2, 1], 5)
    found = fn(scores, ids)
    for group in ids.unique():
        close(found[ids == group].sum(), 0.0, case=(scores, ids), atol=1e-6)


def _easy_prompts_do_not_matter(fn):
    """A constant added to all scores of one group changes nothing."""
    scores, ids = _case([0, 0, 1, 1, 0, 1], 6)
    close(fn(scores + 50.0 * (ids == 1), ids), fn(scores, ids), case=(scores, ids), rtol=1e-4, atol=1e-6)


def _finite(fn):
    """Equal scores, and a group of one, give 0 and never NaN."""
    for scores, ids in ((torch.ones(4), torch.tensor([0, 0, 1, 1])), (torch.tensor([3.0]), torch.tensor([7]))):
        found = fn(scores, ids)
        require(bool((found == 0).all()), f"equal scores gave {found.tolist()}", case=(scores, ids))


def _each(scores, group_ids, how):
    out = torch.zeros_like(scores)
    for group in group_ids.unique():
        here = group_ids == group
        out[here] = how(scores[here])
    return out


def _whole_batch(scores, group_ids):
    return (scores - scores.mean()) / (scores.std() + 1e-6)


def _no_division(scores, group_ids):
    return _each(scores, group_ids, lambda x: x - x.mean())


def _biased(scores, group_ids):
    return _each(scores, group_ids, lambda x: (x - x.mean()) / (x.std(correction=0) + 1e-6))


def _nan_alone(scores, group_ids):
    return _each(scores, group_ids, lambda x: (x - x.mean()) / (x.std() + 1e-6))


def _no_eps(scores, group_ids):
    return _each(scores, group_ids, lambda x: (x - x.mean()) / (x.std() if len(x) > 1 else 1.0))


def _variance(scores, group_ids):
    return _each(scores, group_ids, lambda x: (x - x.mean()) / (x.var() + 1e-6 if len(x) > 1 else 1.0))


def _eps_under_the_root(scores, group_ids):
    return _each(scores, group_ids, lambda x: (x - x.mean()) / ((x.var() if len(x) > 1 else 0.0) + 1e-6) ** 0.5)


def _always_float32(scores, group_ids):
    out = torch.zeros(scores.shape)
    for group in group_ids.unique():
        here = group_ids == group
        out[here] = group_advantages(scores[here], group_ids[here])
    return out


def _leave_one_out(scores, group_ids):
    return _each(scores, group_ids, lambda x: x - (x.sum() - x) / max(1, len(x) - 1) if len(x) > 1 else x * 0)


def _batch_deviation(scores, group_ids):
    return _each(scores, group_ids, lambda x: x - x.mean()) / (scores.std() + 1e-6)


def _median(scores, group_ids):
    return _each(scores, group_ids, lambda x: (x - x.median()) / (x.std() + 1e-6 if len(x) > 1 else 1.0))


def _not_centred(scores, group_ids):
    return _each(scores, group_ids, lambda x: x / (x.std() + 1e-6 if len(x) > 1 else 1.0))


GROUPS = Exercise(
    id="13.group_advantages",
    title="GRPO's advantage",
    solution=group_advantages,
    cases=_cases,
    properties=[_finite, _zero_in_every_group, _easy_prompts_do_not_matter],
    mistakes=[
        Mistake(
            _whole_batch,
            "You compare with the whole batch: replies to easy prompts win. Compare each with the replies to its own "
            "prompt.",
        ),
        Mistake(_no_division, "The deviation of the group is missing. (Without it this is Dr. GRPO, Liu et al. 2025.)"),
        Mistake(_biased, "Divide the squares by n - 1, as `torch.std` does; you divided by n."),
        Mistake(
            _nan_alone,
            "The standard deviation of one number is 0/0. A group of one must get 0.",
            "DLR-RM/stable-baselines3 issue 325, the same in a mini-batch of one",
        ),
        Mistake(_no_eps, "All scores of a group may be equal: 0/0. Add 1e-6 to the deviation."),
        Mistake(_variance, "That is the variance. The deviation is its root, in the units of the scores."),
        Mistake(
            _eps_under_the_root,
            "1e-6 under the root is 1000 times larger: the root of 1e-6 is 1e-3. Add it to the deviation, outside.",
        ),
        Mistake(
            _always_float32,
            "`torch.zeros(scores.shape)` is float32, and the scores may be float64: write `torch.zeros_like(scores)`, "
            "which has their dtype.",
        ),
        Mistake(
            _leave_one_out,
            "The mean of the OTHERS as baseline: that is RLOO (Ahmadian et al. 2024). GRPO takes the mean of all, and "
            "divides.",
        ),
        Mistake(_batch_deviation, "The mean is the group's, but the deviation is the whole batch's. Take the group's."),
        Mistake(_median, "The baseline is the mean of the group, not its median: only then do advantages sum to 0."),
        Mistake(_not_centred, "The baseline is missing: take the group's mean off first."),
    ],
    hints=[
        "For each different id: pick its scores, take their mean off, divide by their spread. Begin with zeros_like.",
        "`here = group_ids == group`; `centred = scores[here] - scores[here].mean()`.",
        "The spread is `(centred.square().sum() / max(1, len(centred) - 1)).sqrt() + 1e-6`.",
    ],
)
