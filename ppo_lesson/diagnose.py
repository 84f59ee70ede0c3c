"""What is wrong with this run? The rows a trainer yielded -> named symptoms, their evidence, what to try first.

    rows = list(ppo(Maze(), policy, critic, PPOConfig(), seed=0))
    print(report(rows))

Three kinds of numbers are looked at, in this order. Known ones have one right value, known before the run: any other is
a bug, however well the run learns. Curves (KL, entropy, critic, gradient) show runs that leave their path. The reward
comes last, for it says that something is wrong and not what. Thresholds were set on maze seeds 0-15 and are tested on
others, on CartPole and on twelve sick trainers (`clinic`). A row without a number is not judged by it, so that rows of
any trainer will do. Left out: everything that needs the batch itself, and wrong settings of a task.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from .diagnose_replies import REPLIES
from .history import ALWAYS, ENOUGH, Table

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


def diagnose(history: Iterable[dict], *, eps: float = 0.2) -> list[Symptom]:
    """The symptoms of one run or of many seeds, the most serious first; an empty list if there are none.

    history: rows as a trainer yields them: numbers for one run, arrays (K,) for K seeds. Each seed is judged alone; a
    symptom is named if a quarter of the seeds show it, with medians over those. eps: the widest clip range of the run.
    Trends need at least 20 rows. TypeError for rows that are not dicts, ValueError for arrays of different lengths.
    """
    symptoms = []
    for rule, sick, numbers in _asked(Table(history), eps):
        if sick.sum() >= max(1, SHARE * sick.size):
            words = rule.words.format(*(np.nanmedian(np.broadcast_to(x, sick.shape)[sick]) for x in numbers))
            if sick.size > 1:
                words += f" ({sick.sum()} of {sick.size} seeds)"
            symptoms.append(Symptom(rule.name, words, rule.try_first))
    return symptoms


def report(history: Iterable[dict], *, eps: float = 0.2) -> str:
    """The same as text to print. Without a symptom it tells how many rules could be asked: few rows clear nobody."""
    table = Table(history)
    symptoms, n = diagnose(table.rows, eps=eps), len(table)
    if symptoms:
        return "\n".join(f"{i}. {symptom}" for i, symptom in enumerate(symptoms, 1))
    asked = f"{len(_asked(table, eps))} of {len(RULES)} rules could be asked"
    if n == 0:
        return f"No row, so {asked}. Pass what the trainer yielded: report(list(ppo(...)))."
    if n < ENOUGH:
        return f"No symptom in {n} rows, but that is no all-clear: {asked}. Trends need {ENOUGH} rows."
    if all(np.isnan(table[name]).all() for name in ALWAYS):
        return f"No symptom in {n} rows, but that is no all-clear: {asked}. They hold none of {', '.join(ALWAYS)}."
    return f"No symptom in {n} rows; {asked}, the others found no numbers of theirs."


def _asked(table: Table, eps: float) -> list[tuple]:
    """(rule, which seeds are sick, its numbers) of every rule that could be asked: its first number is one."""
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # "all NaN": nothing to judge
        for rule in RULES if len(table) else ():
            sick, *numbers = rule.judge(table, eps)
            if np.isfinite(numbers[0]).any():
                found.append((rule, sick, numbers))
    return found


# ---- how each symptom is judged: (table, eps) -> which seeds are sick (K,), and the numbers of its sentence ----------


def _not_finite(table, eps):
    there = np.array([[name in row for row in table.rows] for name in ALWAYS])[..., None]  # (names, T, 1)
    bad = (~np.isfinite([table[name] for name in ALWAYS]) & there).any(0)  # (T, K)
    return bad.any(0), bad.argmax(0) if there.any() else np.full(table.seeds, np.nan)


def _above(name: str, limit: float):
    """A number that must be 0 and somewhere is more than `limit`."""

    def judge(table, eps):
        return table.largest(name) > limit, table.largest(name)

    return judge


def _target_error(table, eps):
    error = table.largest("target_error")
    size = np.sqrt(np.nan_to_num(table.largest("value_loss")))  # rounding grows with the size of returns
    return error > ROUNDING * np.maximum(1, size), error


def _not_whitened(table, eps):
    spread = np.where(table["advantage_std"] > 0.5, table["advantage_std"], np.nan)  # below: see "no learning signal"
    off = np.abs(spread - 1) > 2 * ROUNDING
    return off.sum(0) > 0.8 * np.isfinite(table["advantage_std"]).sum(0), np.nanmedian(spread, 0)


def _learning(table) -> np.ndarray:
    return np.nan_to_num(table["lr"], nan=1.0) > 0


def _count(judged) -> np.ndarray:
    """How many rows were judged, (K,); NaN where none was."""
    return np.where(np.isfinite(judged).any(0), np.isfinite(judged).sum(0), np.nan)


def _frozen(table, eps):
    kl, gradient, learning = (x[len(table) // 2 :] for x in (table["kl"], table["grad_norm"], _learning(table)))
    judged = np.where((gradient > 0) & learning & (len(table) > 2), kl, np.nan)
    return (judged == 0).all(0), _count(judged), np.nanmedian(gradient, 0)


def _ratio_stuck(table, eps):
    judged = np.where(_learning(table) & (table["advantage_std"] > 0.5), np.abs(table["policy_gain"]), np.nan)
    return np.nanmax(judged, 0) < 1e-6, _count(judged), table.largest("kl")


def _chasing_critic(table, eps):
    judged = np.where(_learning(table), np.abs(table["value_gain"]), np.nan)
    return np.nanmax(judged, 0) < 1e-5, _count(judged), np.nanmedian(table["value_loss"], 0)


def _above_ceiling(table, eps):
    clipped_and_whitened = np.isfinite(table["clip_fraction"]) & (table["advantage_std"] < 1.01)
    objective = np.nanmax(np.where(clipped_and_whitened, -table["policy_loss"], np.nan), 0)
    return objective > eps + ROUNDING, objective, np.full_like(objective, eps)


def _kl_runaway(table, eps):
    kl = np.where(np.isnan(table["kl"]), table["approx_kl"], table["kl"])
    worst = np.nanmax(kl, 0)
    return worst > 0.5, worst, (kl == worst).argmax(0), np.nanmedian(kl, 0)


def _falling(table, eps):
    x = table.reward()
    start, end = table.trend(x)
    usual, best = np.nanmedian(x[: 1 + len(x) // 4], 0), np.nanmax(x[-max(1, len(x) // 4) :], 0)
    return (end < start) & (best < usual), start, end


def _flat(table, eps):
    x = table.reward()
    start, end = table.trend(x)
    first, last = x[: 1 + len(x) // 4], x[-max(1, len(x) // 4) :]
    error = np.sqrt(sum(np.nanvar(part, 0) / np.isfinite(part).sum(0) for part in (first, last)))
    risen = np.nanmean(last, 0) - np.nanmean(first, 0) > error  # of the difference of these two means
    return np.isfinite(start) & ~risen & ~_falling(table, eps)[0], start, end


def _collapsed(table, eps):
    entropy, x = table["entropy"], table.reward()
    (first, last), (start, end), best = table.trend(entropy), table.trend(x), np.nanmax(x, 0)
    certain = (np.nanmin(entropy, 0) >= 0) & (last < 0.02 * first)  # of densities entropy may be negative
    return certain & (best - end > 0.25 * (best - start)), first, last, best, end


def _gradient_grows(table, eps):
    start, end = table.trend(table["grad_norm"])
    return end > 4 * start, start, end


def _critic_loss_grows(table, eps):
    (start, end), reward = table.trend(table["value_loss"]), table.trend(table.reward())
    return (end > 4 * start) & ~(reward[1] > reward[0]), start, end  # higher returns bring higher errors


def _dead_critic(table, eps):
    late = table.second_half("explained_variance")  # far below 0 is no symptom: returns may hardly vary
    return np.nanmax(np.abs(late), 0) < 0.05, np.nanmedian(late, 0), np.nanmax(late, 0)


def _saturated(table, eps):
    late = np.nanmedian(table.second_half("clip_fraction"), 0)
    return late > 0.5, late


def _none_ended(table, eps):
    told = np.isfinite(table["ended"]).any(0)
    judged = len(table) >= np.where(told, 3, 30)
    none = np.where(told, table.largest("ended") == 0, np.isnan(table.reward()).all(0))
    return judged & none, np.where(judged, len(table), np.nan)


@dataclass(frozen=True)
class Rule:
    """One symptom: its name, the sentence that its numbers go into, what to try first, and how it is judged."""

    name: str
    words: str
    try_first: str
    judge: Callable


RULES = (  # the most serious first
    Rule(
        "not finite",
        "a loss, the entropy, the KL or the gradient is no number from row {:.0f} on.",
        "a lower learning rate, max_grad_norm; then look for log(0), 0/0 and masked steps that hold NaN.",
        _not_finite,
    ),
    Rule(
        "ratio off 1",
        "at the first mini-batch the ratio is up to {:.2g} away from 1, where both policies are still the same.",
        "score old log-probabilities with the training forward: same mode (no dropout), temperature, mask and dtype.",
        _above("ratio_error", ROUNDING),
    ),
    Rule(
        "wrong gradient",
        "the gradient at ratio 1, or the one that the optimizer holds, is up to {:.2g} times its size off.",
        "signs (entropy), ratio = exp(logp - logp_old), advantages detached, gradients set to zero before each step.",
        _above("gradient_error", ROUNDING),
    ),
    Rule(
        "wrong value targets",
        "on last steps of episodes the critic's target is up to {:.3g} away from r + gamma V(s'), or r at a true end.",
        "GAE at episode ends: cut the trace, keep terminated and truncated apart; then the alignment of rewards.",
        _target_error,
    ),
    Rule(
        "stale starts",
        "up to {:.1%} of the trained steps begin where an episode had terminated: nobody acted there.",
        "mask the step in which a NEXT_STEP environment only starts anew.",
        _above("stale_starts", 0.0),
    ),
    Rule(
        "weights not whitened",
        "the spread of the weights is {:.3f} where it must be 1.",
        "whiten over the whole mini-batch, not over a part or an axis of it, and last of all.",
        _not_whitened,
    ),
    Rule(
        "ratio stuck at 1",
        "in {:.0f} updates of several steps the objective stayed exactly what it was, though the KL reached {:.3g}.",
        "compute old log-probabilities once, before the first epoch, and keep them.",
        _ratio_stuck,
    ),
    Rule(
        "critic chases itself",
        "in {:.0f} updates of several steps the critic's error stayed exactly what it was (about {:.3g}).",
        "compute the value targets once, before the first epoch; then critic_lr, value_coef.",
        _chasing_critic,
    ),
    Rule(
        "objective above its ceiling",
        "the objective reached {:.3f}; clipped at eps = {:.2g}, with whitened weights, it cannot pass eps.",
        "multiply each ratio with its advantage, then take the minimum; use the whitened weights.",
        _above_ceiling,
    ),
    Rule(
        "learning rate 0",
        "lr is {:.0f} in every row.",
        "the schedule's length and its first value.",
        lambda table, eps: (table.largest("lr") == 0, table.largest("lr")),
    ),
    Rule(
        "policy frozen",
        "in all {:.0f} rows of the second half the KL from the old policy is 0, though the gradient is {:.2g} long.",
        "was a parameter replaced while the run was alive? Are all weights 0 (mini-batches of one step)? Then lr.",
        _frozen,
    ),
    Rule(
        "KL runaway",
        "one update moved the policy by KL {:.2f} (row {:.0f}; the median is {:.2g}).",
        "target_kl (about 0.02), fewer epochs, a lower learning rate; with clipping, whether it clips at all.",
        _kl_runaway,
    ),
    *(Rule(*symptom) for symptom in REPLIES),  # of language models
    Rule(
        "reward falling",
        "the return began at {:.3g} and ended at {:.3g}; in the last quarter it never was what it was at first.",
        "a sign (objective, advantage, ratio), the learning rate. In the first rollouts only short episodes end.",
        _falling,
    ),
    Rule(
        "entropy collapse",
        "entropy fell from {:.3g} to {:.2g}, while the return came down from its best {:.3g} to {:.3g}.",
        "a lower learning rate or a KL stop; then the entropy bonus, and its sign.",
        _collapsed,
    ),
    Rule(
        "gradient growing",
        "the gradient's length grew from {:.2g} to {:.2g}.",
        "is it set to zero before each step? Then the learning rate, max_grad_norm, the scale of returns.",
        _gradient_grows,
    ),
    Rule(
        "critic loss growing",
        "the critic's loss grew from {:.3g} to {:.3g}, though the return did not rise.",
        "fixed value targets, gradients set to zero, a lower critic_lr; then the scale of rewards.",
        _critic_loss_grows,
    ),
    Rule(
        "dead critic",
        "explained variance is {:.2f} in the second half, {:.2f} at best: a constant would do as well.",
        "critic_lr, value_coef, the scale of returns; what the critic sees; the alignment of values and targets.",
        _dead_critic,
    ),
    Rule(
        "clip fraction saturated",
        "in the second half clipping silences {:.0%} of the steps at the end of an update.",
        "fewer epochs, a lower learning rate; the rest of each update is wasted.",
        _saturated,
    ),
    Rule(
        "no learning signal",
        "the weights' spread is {:.2g} at most: all advantages are equal.",
        "does the reward vary at all? For groups of answers: all right or all wrong; other prompts.",
        lambda table, eps: (table.largest("advantage_std") < 0.5, table.largest("advantage_std")),
    ),
    Rule(
        "no episode ended",
        "in {:.0f} rows no episode came to its end.",
        "a time limit; for replies: the end token, its mask, max_new_tokens.",
        _none_ended,
    ),
    Rule(
        "reward flat",
        "the return began at {:.3g} and ended at {:.3g}: chance alone moves it as far.",
        "is the reward on real steps (mask, end token)? Do advantages vary? Then the learning rate and more steps.",
        _flat,
    ),
)
