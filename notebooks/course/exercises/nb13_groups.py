"""Exercise 13.group_advantages: GRPO's advantage, a reply among the replies to its own prompt."""

from __future__ import annotations

import torch

from ..check.spec import Exercise, Mistake, close, require
from ..edited import edited


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


def _by_place(scores, group_ids):
    rows = scores.view(-1, int((group_ids == group_ids[0]).sum()))
    return ((rows - rows.mean(1, keepdim=True)) / (rows.std(1, keepdim=True) + 1e-6)).view(-1)


CENTRED, DEVIATION = "scores[here] - scores[here].mean()", "variance.sqrt() + 1e-6"


GROUPS = Exercise(
    id="13.group_advantages",
    title="GRPO's advantage",
    solution=group_advantages,
    cases=_cases,
    properties=[_finite, _zero_in_every_group, _easy_prompts_do_not_matter],
    mistakes=[
        Mistake(
            edited(group_advantages, {"here = group_ids == group": "here = group_ids == group_ids"}, "_whole_batch"),
            "You compare with the whole batch: replies to easy prompts win. Compare each with the replies to its own "
            "prompt.",
        ),
        Mistake(
            edited(group_advantages, {f" / ({DEVIATION})": ""}, "_no_division"),
            "The deviation of the group is missing. (Without it this is Dr. GRPO, Liu et al. 2025.)",
        ),
        Mistake(
            edited(group_advantages, {"max(1, len(centred) - 1)": "len(centred)"}, "_biased"),
            "Divide the squares by n - 1, as `torch.std` does; you divided by n.",
        ),
        Mistake(
            _by_place,
            "You cut the batch into rows of one length. Groups differ in size and stand in any order: only the ids say "
            "who belongs together.",
        ),
        Mistake(
            edited(group_advantages, {"group_ids.unique()": "range(len(group_ids.unique()))"}, "_counted_ids"),
            "Ids are names, 4 and 9 for two groups: `range` of their number misses them. Go over `group_ids.unique()`.",
        ),
        Mistake(
            edited(
                group_advantages,
                {"return advantages": "return torch.cat([advantages[group_ids == g] for g in group_ids.unique()])"},
                "_group_after_group",
            ),
            "Right numbers in the order of the groups. Put each back where its score stood: `advantages[here] = ...`.",
        ),
        Mistake(
            edited(group_advantages, {"max(1, len(centred) - 1)": "(len(centred) - 1)"}, "_nan_alone"),
            "The standard deviation of one number is 0/0. A group of one must get 0.",
            "DLR-RM/stable-baselines3 issue 325, the same in a mini-batch of one",
        ),
        Mistake(
            edited(group_advantages, {DEVIATION: "variance.sqrt() if len(centred) > 1 else 1.0"}, "_no_eps"),
            "All scores of a group may be equal: 0/0. Add 1e-6 to the deviation.",
        ),
        Mistake(
            edited(group_advantages, {"variance.sqrt()": "variance"}, "_variance"),
            "That is the variance. The deviation is its root, in the units of the scores.",
        ),
        Mistake(
            edited(group_advantages, {DEVIATION: "(variance + 1e-6).sqrt()"}, "_eps_under_the_root"),
            "1e-6 under the root is 1000 times larger: the root of 1e-6 is 1e-3. Add it to the deviation, outside.",
        ),
        Mistake(
            edited(group_advantages, {"zeros_like(scores)": "zeros(scores.shape)"}, "_always_float32"),
            "`torch.zeros(scores.shape)` is float32, and the scores may be float64: write `torch.zeros_like(scores)`, "
            "which has their dtype.",
        ),
        Mistake(
            edited(
                group_advantages,
                {f"centred / ({DEVIATION})": "centred * len(centred) / max(1, len(centred) - 1)"},
                "_leave_one_out",
            ),
            "The mean of the OTHERS as baseline: that is RLOO (Ahmadian et al. 2024). GRPO takes the mean of all, and "
            "divides.",
        ),
        Mistake(
            edited(group_advantages, {"variance.sqrt()": "scores.std()"}, "_batch_deviation"),
            "The mean is the group's, but the deviation is the whole batch's. Take the group's.",
        ),
        Mistake(
            edited(
                group_advantages,
                {CENTRED: "scores[here] - scores[here].median()", "centred.square()": f"({CENTRED}).square()"},
                "_median",
            ),
            "The baseline is the mean of the group, not its median: only then do advantages sum to 0.",
        ),
        Mistake(
            edited(group_advantages, {f"centred / ({DEVIATION})": f"scores[here] / ({DEVIATION})"}, "_not_centred"),
            "The baseline is missing: take the group's mean off first.",
        ),
    ],
    hints=[
        "For each different id: pick its scores, take their mean off, divide by their spread. Begin with zeros_like.",
        "`here = group_ids == group`; `centred = scores[here] - scores[here].mean()`.",
        "The spread is `(centred.square().sum() / max(1, len(centred) - 1)).sqrt() + 1e-6`.",
    ],
)
