"""Notebook 11: best-of-n. Sample n replies, keep the one that the reward model likes best; what is it worth?"""

from __future__ import annotations

import torch

from ..check.spec import Exercise, Mistake, close
from ..edited import edited


def best_of_n(scores, worth, n):
    """Mean score and mean worth of the best-scored reply of n, over all whole groups of n of every prompt."""
    whole = scores.shape[1] // n * n  # what is left over does not make a group
    scores, worth = (x[:, :whole].reshape(-1, n) for x in (scores, worth))  # (P * groups, n)
    best = scores.argmax(-1, keepdim=True)
    return scores.gather(-1, best).mean(), worth.gather(-1, best).mean()


def _random(P, N, seed, dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)
    quality = torch.randn(P, 1, generator=g, dtype=dtype)  # some questions are easier than others
    worth = quality + torch.randn(P, N, generator=g, dtype=dtype)
    return 0.6 * worth + 0.5 * torch.randn(P, N, generator=g, dtype=dtype), worth


def _cases():
    hand = torch.tensor([[3.0, 1.0, 2.0, 4.0]]).double(), torch.tensor([[0.0, 5.0, 1.0, -2.0]]).double()
    return [
        (*hand, 1),
        (*hand, 2),
        (*hand, 4),
        (*_random(3, 8, 1), 2),
        (*_random(5, 12, 2), 4),
        (*_random(3, 7, 3), 3),
        (*_random(4, 5, 4), 5),
        (*_random(6, 10, 5, torch.float32), 4),
    ]


def _one_is_the_mean(fn):
    """With n = 1 there is nothing to choose: the two plain means."""
    scores, worth = _random(4, 6, 6)
    close(fn(scores, worth, 1), (scores.mean(), worth.mean()), case=(scores, worth, 1))


def _score_grows(fn):
    """The mean score of the chosen never falls when n doubles."""
    scores, worth = _random(20, 16, 7)
    curve = [float(fn(scores, worth, n)[0]) for n in (1, 2, 4, 8, 16)]
    close(sorted(curve), curve, case=(scores, worth, 16))


def _worth_has_no_say(fn):
    """The choice must not see the worth: with the worth turned round, its mean turns round too."""
    scores, worth = _random(5, 8, 8)
    close(fn(scores, -worth, 4)[1], -fn(scores, worth, 4)[1], case=(scores, -worth, 4))


def _the_rest_is_unused(fn):
    """What does not fill a group stands at the right end of a row, and changes nothing."""
    scores, worth = _random(4, 7, 9)
    wild = scores + 50.0 * (torch.arange(7) == 6)
    close(fn(wild, worth, 3), fn(scores, worth, 3), case=(wild, worth, 3))


def _with_the_rest(scores, worth, n):
    groups = zip(scores.split(n, -1), worth.split(n, -1))
    chosen = [(s.amax(-1), w.gather(-1, s.argmax(-1, keepdim=True))[:, 0]) for s, w in groups]
    return torch.cat([s for s, _ in chosen]).mean(), torch.cat([w for _, w in chosen]).mean()


BEST = Exercise(
    id="11.best_of_n",
    title="Best of n",
    solution=best_of_n,
    cases=_cases,
    properties=[_one_is_the_mean, _worth_has_no_say, _the_rest_is_unused, _score_grows],
    mistakes=[
        Mistake(
            edited(best_of_n, {"best = scores": "best = worth"}, "_by_worth"),
            "You choose by the worth, which nobody has in life. Choose by the score, and look up the worth of THAT "
            "reply.",
        ),
        Mistake(
            edited(best_of_n, {"worth.gather(-1, best).mean()": "worth.amax(-1).mean()"}, "_two_bests"),
            "The largest score and the largest worth belong to two different replies. Choose once, by the score.",
        ),
        Mistake(
            edited(best_of_n, {"worth.gather(-1, best).mean()": "best.to(scores.dtype).mean()"}, "_place"),
            "argmax gives the place of the best reply, not the reply. Look up its worth with `gather`.",
            "natolambert/rlhf-book pull request 481",
        ),
        Mistake(
            edited(best_of_n, {"x[:, :whole].reshape(-1, n)": "x[:, :n]"}, "_first_n"),
            "Right for the first group, and the other samples are thrown away: use all N // n groups.",
        ),
        Mistake(
            edited(
                best_of_n,
                {"x[:, :whole].reshape(-1, n)": "x.flatten()[: x.numel() // n * n].reshape(n, -1).T"},
                "_prompts_mixed",
            ),
            "Your groups mix replies to different prompts. A group belongs to one prompt.",
        ),
        Mistake(
            edited(
                best_of_n,
                {"x[:, :whole].reshape(-1, n)": "x.flatten()[: x.numel() // n * n].reshape(-1, n)"},
                "_over_the_border",
            ),
            "Where n does not divide N, your groups run over the border into the next prompt. Cut each row to "
            "N // n * n first.",
        ),
        Mistake(
            edited(
                best_of_n,
                {"x[:, :whole].reshape(-1, n)": "x[:, :whole].reshape(len(x), n, -1).mT.reshape(-1, n)"},
                "_every_kth",
            ),
            "Your groups take every k-th reply of a row. Neighbours make a group: reshape to (P, N // n, n), n last.",
        ),
        Mistake(
            edited(best_of_n, {"x[:, :whole]": "x[:, len(x[0]) - whole :]"}, "_from_the_right"),
            "You cut from the right. What is left over stands there: begin in column 0.",
        ),
        Mistake(_with_the_rest, "The last group has fewer than n replies: a choice of less than n. Leave it out."),
        Mistake(
            edited(best_of_n, {"x[:, :whole].reshape(-1, n)": "x"}, "_of_all"),
            "n has no effect: you choose among all N replies of a prompt.",
        ),
        Mistake(edited(best_of_n, {"argmax": "argmin"}, "_worst"), "This keeps the reply with the LOWEST score."),
        Mistake(
            edited(best_of_n, {"x[:, :whole].reshape(-1, n)": "x.T"}, "_best_question"),
            "The wrong axis: you choose among prompts, so that easy questions win. Choose among the replies to one.",
            "natolambert/rlhf-book pull request 350, which measures both",
        ),
    ],
    hints=[
        "Cut every prompt's N samples into groups of n. What is the place of the best score in each group?",
        "`x[:, : N // n * n].reshape(-1, n)` for both; then `best = scores.argmax(-1, keepdim=True)`.",
        "Return `scores.gather(-1, best).mean(), worth.gather(-1, best).mean()`.",
    ],
)
