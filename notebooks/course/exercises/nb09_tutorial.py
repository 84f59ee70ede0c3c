"""Exercise 09.rlhf_losses: a tutorial's PPO for language models, to be repaired line by line until the suite passes."""

from __future__ import annotations

import inspect
from functools import wraps

import torch

from ..check.compare import difference
from ..check.spec import Exercise, Mistake, Wrong, close
from .nb09_suite import NAMES, SUITE, as_case, replies, rlhf_losses, tutorial

NEAR = {"rtol": 1e-4, "atol": 1e-6}


def _cases():
    return [
        as_case(replies(1, (1,), 1)),
        as_case(replies(2, (3,), 3)),
        as_case(replies(3, (2,), 4)),
        as_case(replies(4)),
        as_case(replies(5, (5, 1, 6, 3), 7, beta=0.5)),
        as_case(replies(6, (3, 5), 6, torch.float32)),
    ]


def _everything(fn):
    """On every batch all four results, and the slopes of both losses, are right; advantages on real tokens."""
    for case in _cases():
        got, want = _results(fn, case), _results(rlhf_losses, case)
        first = next((name for name in want if difference(got[name], want[name], **NEAR)), "")
        close(got, want, f"The first to differ: {first}.", case=case, **NEAR)


def _results(fn, case) -> dict:
    """What fn gives for a case, 0 for advantages on padding, and the slopes of its losses in whatever it was given."""
    arguments = [x.clone().requires_grad_() if torch.is_tensor(x) and x.is_floating_point() else x for x in case]
    out = fn(*arguments)
    inputs = {name: x for name, x in zip(NAMES, arguments) if torch.is_tensor(x) and x.requires_grad}
    slopes = torch.autograd.grad(out["policy_loss"] + 2 * out["value_loss"], list(inputs.values()), allow_unused=True)
    slopes = {f"slope in {n}": torch.zeros(()) if x is None or not x.any() else x for n, x in zip(inputs, slopes)}
    real = {"advantages": out["advantages"].where(case[NAMES.index("mask")], 0.0)}
    return {name: x.detach() for name, x in (out | real | slopes).items()}


def _named(holds):
    """The property, which also says which known mistake it is, if the function does just what that one does."""

    @wraps(holds)
    def check(fn):
        latest = []

        def watched(*args):
            latest[:] = [args]
            return fn(*args)

        try:
            holds(watched)
        except Wrong as wrong:
            wrong.case = wrong.case or (latest[0] if latest else None)
            wrong.mistake = wrong.mistake or next((m.fn.__name__ for m in TUTORIAL.mistakes if _alike(fn, m.fn)), "")
            raise

    return check


def _alike(fn, other) -> bool:
    try:
        return all(difference(_results(fn, c), _results(other, c), **NEAR) is None for c in _cases())
    except Exception:
        return False


# ---- wrong answers: the solution with one line as somebody wrote it --------------------------------------------------


def _with(name: str, right: str, wrong: str):
    source = inspect.getsource(rlhf_losses)
    if source.count(right) != 1:
        raise ValueError(f"{right!r} must stand once in rlhf_losses")
    scope = {"torch": torch}
    exec(source.replace(right, wrong).replace("def rlhf_losses", f"def {name}"), scope)
    return scope[name]


LAST = "rewards[torch.arange(len(scores)), mask.sum(-1) - 1] += scores"
CLIP = "torch.minimum(ratio * advantages, ratio.clamp(0.8, 1.2) * advantages)"
COLUMNS = "logp, logp_old, logp_ref, values, values_old = (torch.where(mask, x, 0.0) for x in columns)"

TUTORIAL = Exercise(
    id="09.rlhf_losses",
    title="Repair the tutorial",
    solution=rlhf_losses,
    cases=_cases,
    properties=[_named(holds) for holds in (*SUITE.values(), _everything)],
    atol=1e9,  # the properties decide, in the order of the lines; the last one compares
    mistakes=[
        Mistake(
            tutorial,
            "This is the tutorial as it stands. Repair it from the top: `rewards[:, -1]` is the last column, and a "
            "short reply has padding there.",
            "a popular tutorial on PPO for language models",
        ),
        Mistake(
            _with("_last_column", LAST, "rewards[:, -1] += scores"),
            "The score is paid in the last column. For a short reply that is padding, and its tokens never hear of it. "
            "The last real token has the index `mask.sum(-1) - 1`.",
            "huggingface/trl issue 1893",
        ),
        Mistake(
            _with("_first_pad", "mask.sum(-1) - 1", "mask.sum(-1).clamp(max=mask.shape[1] - 1)"),
            "The score is paid one token too late, on the first padding token. `mask.sum(-1)` counts the real tokens; "
            "the last of them has that index minus 1.",
            "huggingface/trl issue 3750",
        ),
        Mistake(
            _with("_straying_pays", "-beta * (logp_old - logp_ref)", "beta * (logp_old - logp_ref)"),
            "The sign of the price is wrong: the policy is paid for leaving the reference.",
            "huggingface/blog pull request 1208",
        ),
        Mistake(
            _with(
                "_values_leak", COLUMNS, "logp, logp_old, logp_ref = (torch.where(mask, x, 0.0) for x in columns[:3])"
            ),
            "The values on padding walk into the advantages, from the right. Set them to 0 before the loop.",
            "volcengine/verl pull request 50, alibaba/ROLL issue 447",
        ),
        Mistake(
            _with("_not_data", "with torch.no_grad():  # all of this is data", "if True:"),
            "Rewards, advantages and returns hang on the old values: the losses pull at them. Compute them under "
            "`torch.no_grad()`.",
            "batra-mlp-lab/visdial-rl issue 13",
        ),
        Mistake(
            _with("_probabilities", "torch.exp(logp - logp_old.detach())", "logp.exp() / logp_old.detach().exp()"),
            "Probabilities are divided. For an unlikely token both are 0 in floating point, and 0 / 0 is NaN. Subtract "
            "the logarithms first.",
        ),
        Mistake(
            _with("_no_clip", CLIP, "ratio * advantages"),
            "The comment says clip, the code does not. Take the smaller of the two products, as in notebook 06.",
            "a popular tutorial on PPO for language models",
        ),
        Mistake(
            _with("_min_first", CLIP, "torch.minimum(ratio, ratio.clamp(0.8, 1.2)) * advantages"),
            "The smaller ratio was taken, and then multiplied. For A < 0 the order turns round: multiply first.",
            "takuseno/ppo issue 3",
        ),
        Mistake(
            _with("_no_minus", "-objective[mask].mean()", "objective[mask].mean()"),
            "The objective goes up, the loss goes down: a minus is missing.",
            "natolambert/rlhf-book issue 125",
        ),
        Mistake(
            _with("_mean_of_all", "-objective[mask].mean()", "-objective.mean()"),
            "The policy loss is divided by the number of all tokens, padding included. Take the mean over `[mask]`.",
        ),
        Mistake(
            _with("_mean_a_reply", "-objective[mask].mean()", "-((objective * mask).sum(-1) / mask.sum(-1)).mean()"),
            "The mean of each reply was taken, and then the mean of these: a token of a short reply counts for more. "
            "Some algorithms choose that. Here every real token counts the same: one mean over `[mask]`.",
        ),
        Mistake(
            _with(
                "_new_values",
                "advantages, following = ",
                "values_old = values.detach()\n        advantages, following = ",
            ),
            "The advantages are made from `values`, which move with every epoch. Use `values_old`: it was noted "
            "while sampling.",
        ),
        Mistake(
            _with("_times_mask", "torch.where(mask, x, 0.0)", "x * mask"),
            "0 times NaN is NaN. `torch.where(mask, x, 0.0)` chooses before it computes.",
            "OpenRLHF pull request 1240",
        ),
    ],
    hints=[
        "Go from the top. For each line ask: what does it do with a reply that is shorter than the others?",
        "First `torch.where(mask, x, 0.0)` for the five columns; the score at `mask.sum(-1) - 1`; `torch.no_grad()` "
        "around everything up to `returns`.",
        "`ratio = torch.exp(logp - logp_old.detach())`, the smaller of `ratio * advantages` and "
        "`ratio.clamp(0.8, 1.2) * advantages`, and means over `[mask]`.",
    ],
)
