"""What is wrong with this run? The rows a trainer yielded -> named symptoms, their evidence, what to try first.

    rows = list(ppo(Maze(), policy, critic, PPOConfig(), seed=0))
    print(report(rows))

Three kinds of numbers are looked at, in this order. Known ones have one right value, known before the run: any other is
a bug, however well the run learns. Curves (KL, entropy, critic, gradient) show runs that leave their path. The reward
comes last, for it says that something is wrong and not what. Thresholds were set on maze seeds 0-15 and are tested on
others, on CartPole and on twelve sick trainers (`clinic`); those of language models on runs of the help desk, where
betas of 0.02 to 0.3 give no alarm. A row without a number is not judged by it, so that rows of any trainer will do.
Left out: everything that needs the batch itself, wrong settings of a task, and whether a score means what it should.
"""

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from .columns import ALWAYS, ENOUGH, SYMPTOMS, History

SHARE = 0.25  # of the seeds must show a symptom before it is named
ROUNDING = 1e-3  # known numbers may be off by this much (float32 needs less than 1e-5)


@dataclass(frozen=True)
class Symptom:
    """name: short. evidence: a sentence with the run's numbers. try_first: what to look at, most likely cause first."""

    name: str
    evidence: str
    try_first: str

    def __str__(self):
        return f"{self.name}: {self.evidence}\n    try first: {self.try_first}"


def diagnose(history: Iterable[dict] | History, *, eps: float = 0.2) -> list[Symptom]:
    """The symptoms of one run or of many seeds, the most serious first; an empty list if there are none.

    history: rows as a trainer yields them, or their History: numbers for one run, arrays (K,) for K seeds. Each seed
    is judged alone; a symptom is named if a quarter of the seeds show it, with medians over those. eps: the widest
    clip range of the run. Trends need at least 20 rows. TypeError for rows that are not dicts, ValueError for arrays of
    different lengths.
    """
    symptoms = []
    for rule, sick, numbers in asked(history if isinstance(history, History) else History(history), eps=eps):
        if sick.sum() >= max(1, SHARE * sick.size):
            words = rule.evidence.format(*(np.nanmedian(np.broadcast_to(x, sick.shape)[sick]) for x in numbers))
            words += f" ({sick.sum()} of {sick.size} seeds)" * (sick.size > 1)
            symptoms.append(Symptom(rule.name, words, rule.try_first))
    return symptoms


def report(history: Iterable[dict] | History, *, eps: float = 0.2) -> str:
    """The same as text to print, with how many rules could be asked: few rows clear nobody.

    Columns of another library whose names diagnose.toml knows are read as ours, and it says so.
    """
    table = history if isinstance(history, History) else History(history)
    symptoms, n, judged = diagnose(table, eps=eps), len(table), asked(table, eps=eps)
    few = [f"{rule.name} ({sick.sum()} of {sick.size})" for rule, sick, _ in judged if 0 < sick.mean() < SHARE]
    how_many = f"{len(judged)} of {len(RULES)} rules could be asked"
    rows = f"{n} row{'s' * (n > 1)}{' of most seeds' * bool(few)}"
    if n == 0:
        return f"No row, so {how_many}. Pass what the trainer yielded: report(list(ppo(...)))."
    lines = [f"{i}. {symptom}" for i, symptom in enumerate(symptoms, 1)]
    if n < ENOUGH or (not lines and all(np.isnan(table[name]).all() for name in ALWAYS)):
        why = f"Trends need {ENOUGH} rows." if n < ENOUGH else f"They hold none of {', '.join(ALWAYS)}."
        first = f"Of {rows}" if lines else f"No symptom in {rows}, but that is no all-clear:"
        lines.append(f"{first} {how_many}. {why}")
    elif not lines:
        lines = [f"No symptom in {rows}; {how_many}, the others had too few numbers: trends need {ENOUGH}."]
    lines += [f"In fewer than a quarter of the seeds: {', '.join(few)}."] * bool(few)
    if read := ", ".join(f"{theirs} as {ours}" for theirs, ours in table.foreign.items()):
        lines.append(f"Read from another library's rows: {read}.")
    return "\n".join(lines)


def asked(table: History, *, eps: float = 0.2) -> list[tuple]:
    """(rule, which seeds are sick, its numbers) of every rule that could be asked: its first number is one."""
    found = []
    if isinstance(eps, bool | str | None) or not eps > 0:
        raise ValueError(f"eps must be positive; got {eps!r}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # "all NaN": nothing to judge
        language = len(table) and any(np.isfinite(table[name]).any() for name in ("kl_ref", "score"))
        for rule in [rule for rule in RULES if language or not rule.replies] if len(table) else ():
            sick, *numbers = rule.check(table, eps)
            if np.isfinite(numbers[0]).any():
                found.append((rule, sick, numbers))
    return found


# How each symptom is judged: (table, eps) -> which seeds are sick (K,), and the numbers of its sentence.
def _not_finite(table, eps):
    names = [*ALWAYS, "score", "kl_ref"]
    there = np.array([[name in row for row in table.rows] for name in names])[..., None]  # (names, T, 1)
    bad = (~np.isfinite([table[name] for name in names]) & there).any(0)  # (T, K)
    return bad.any(0), bad.argmax(0) if there.any() else np.full(table.seeds, np.nan)


def _limits(read: Callable, column: str, above=np.inf, upto=np.inf, below=-np.inf, tell: str = ""):
    """read(table, column) must be at most `above` (or more than `upto`), and not below `below`. tell: column told."""

    def check(table, eps):
        x = read(table, column)
        return ((x > above) & (x <= upto)) | (x < below), x, *([table[tell][-1]] if tell else [])

    return check


def _trend(column: str, more: float = np.inf, less: float = -np.inf, start: float = -np.inf):
    """A number that in the end is `more` times what it was at first, or `less`. start: where it must have begun."""

    def check(table, eps):
        first, last = table.trend(table[column])
        return ((last > more * first) | (last < less * first)) & (first > start), first, last

    return check


def _wrong_value_targets(table, eps):
    error = table.largest("target_error")  # its rounding grows with the size of returns
    return error > ROUNDING * np.maximum(1, np.sqrt(np.nan_to_num(table.largest("value_loss")))), error


def _weights_not_whitened(table, eps):
    spread = np.where(table["advantage_std"] > 0.5, table["advantage_std"], np.nan)  # below: see "no learning signal"
    off = np.abs(spread - 1) > 2 * ROUNDING
    return off.sum(0) > 0.8 * np.isfinite(table["advantage_std"]).sum(0), np.nanmedian(spread, 0)


def _count(judged) -> np.ndarray:
    """How many rows were judged, (K,); NaN where none was."""
    return np.where(np.isfinite(judged).any(0), np.isfinite(judged).sum(0), np.nan)


def _policy_frozen(table, eps):
    kl, gradient, learning = (x[len(table) // 2 :] for x in (table["kl"], table["grad_norm"], ~(table["lr"] <= 0)))
    judged = np.where((gradient > 0) & learning & (len(table) > 2), kl, np.nan)
    return (judged == 0).all(0), _count(judged), np.nanmedian(gradient, 0)


def _ratio_stuck_at_1(table, eps):
    judged = np.where(~(table["lr"] <= 0) & (table["advantage_std"] > 0.5), np.abs(table["policy_gain"]), np.nan)
    return np.nanmax(judged, 0) < 1e-6, _count(judged), table.largest("kl")


def _critic_chases_itself(table, eps):
    judged = np.where(table["lr"] <= 0, np.nan, np.abs(table["value_gain"]))
    return np.nanmax(judged, 0) < 1e-5, _count(judged), np.nanmedian(table["value_loss"], 0)


def _objective_above_its_ceiling(table, eps):
    clipped_and_whitened = np.isfinite(table["clip_fraction"]) & (table["advantage_std"] < 1.01)
    objective = np.nanmax(np.where(clipped_and_whitened, -table["policy_loss"], np.nan), 0)
    return objective > eps + ROUNDING, objective, np.full_like(objective, eps)


def _kl_runaway(table, eps):
    kl = np.where(np.isnan(table["kl"]), table["approx_kl"], table["kl"])
    worst = np.nanmax(kl, 0)
    return worst > 0.5, worst, (kl == worst).argmax(0), np.nanmedian(kl, 0)


def _reward_falling(table, eps):
    x = table.reward()
    start, end = table.trend(x)
    usual, best = np.nanmedian(x[: 1 + len(x) // 4], 0), np.nanmax(x[-max(1, len(x) // 4) :], 0)
    return (end < start) & (best < usual), start, end


def _reward_flat(table, eps):
    x = table.reward()
    start, end = table.trend(x)
    first, last = x[: 1 + len(x) // 4], x[-max(1, len(x) // 4) :]
    error = np.sqrt(sum(np.nanvar(part, 0) / np.isfinite(part).sum(0) for part in (first, last)))
    risen = np.nanmean(last, 0) - np.nanmean(first, 0) > error  # of the difference of these two means
    return np.isfinite(start) & ~risen & ~_reward_falling(table, eps)[0], start, end


def _entropy_collapse(table, eps):
    entropy, x = table["entropy"], table.reward()
    (first, last), (start, end), best = table.trend(entropy), table.trend(x), np.nanmax(x, 0)
    certain = (np.nanmin(entropy, 0) >= 0) & (last < 0.02 * first)  # of densities entropy may be negative
    return certain & (best - end > 0.25 * (best - start)), first, last, best, end


def _critic_loss_growing(table, eps):
    (start, end), reward = table.trend(table["value_loss"]), table.trend(table.reward())
    return (end > 4 * start) & ~(reward[1] > reward[0]), start, end  # higher returns bring higher errors


def _dead_critic(table, eps):
    late = table.second_half("explained_variance")  # far below 0 is no symptom: returns may hardly vary
    return np.nanmax(np.abs(late), 0) < 0.05, np.nanmedian(late, 0), np.nanmax(late, 0)


def _no_episode_ended(table, eps):
    told = np.isfinite(table["ended"]).any(0)
    ours = not table.foreign and any(np.isfinite(table[x]).any() for x in {*ALWAYS} - {"grad_norm"})  # SFT has that
    judged = len(table) >= np.where(told, 3, 30 if ours else np.inf)
    none = np.where(told, table.largest("ended") == 0, np.isnan(table.reward()).all(0))
    return judged & none, np.where(judged, len(table), np.nan)


def _far_from_the_reference(table, eps):
    """How improbable the reference finds the replies: entropy + KL a token, against what it finds of its own."""
    surprise = table["entropy"] + table["kl_ref"] / table["length"]
    (start, end), (_, kl), (_, each) = map(table.trend, (surprise, table["kl_ref"], table["kl_ref"] / table["length"]))
    left = (end > np.minimum(1.4 * start, start + 0.3)) | (each > 1)  # the reference may find much improbable at first
    return (kl > 10) & left, np.where(np.isfinite(end) | (each > 1), kl, np.nan), each


def _kl_below_0(table, eps):
    kl = table.second_half("kl_ref")
    mean, error = np.nanmean(kl, 0), np.nanstd(kl, 0) / np.sqrt(np.isfinite(kl).sum(0))
    return (mean < -0.1) & (mean < -4 * error), mean, error


def _policy_stands_still(table, eps):
    moved = np.where(table["lr"] > 0, table["approx_kl"], np.nan)
    moved = np.nanmedian(moved, 0) if len(table) >= 10 else np.full(table.seeds, np.nan)
    return moved < 1e-5, moved, table.largest("lr")


def _no_price_on_kl(table, eps):
    beta = table.largest("beta") if len(table) >= 3 else np.full(table.seeds, np.nan)
    return (beta == 0) & ~(table.largest("kl_loss") > 0), beta


class Rule(NamedTuple):
    """A symptom, and how it is judged. replies: asked of rows of language models alone, with a score or a KL."""

    name: str
    evidence: str
    try_first: str
    check: Callable
    replies: bool = False


BY_NUMBERS = {  # of judges whose numbers stand in diagnose.toml
    "largest": partial(_limits, History.largest),
    "late": partial(_limits, lambda table, column: np.nanmedian(table.second_half(column), 0)),
    "last_three": partial(_limits, lambda table, column: table[column][-3:].max(0) + (0 if len(table) > 2 else np.nan)),
    "trend": _trend,
}


def _rule(symptom: dict) -> Rule:
    """Judged by its numbers in diagnose.toml, or else by the function of its name."""
    made = [make(**symptom.pop(kind)) for kind, make in BY_NUMBERS.items() if kind in symptom]
    return Rule(**symptom, check=made[0] if made else globals()["_" + symptom["name"].lower().replace(" ", "_")])


RULES = tuple(map(_rule, SYMPTOMS["symptom"]))  # the most serious first
