"""What can go wrong with a language model that learns from a score: more symptoms for `diagnose`, from rlhf's rows.

Each is (name, sentence, what to try first, judge), as a `diagnose.Rule`. A judge gets the table of rows and says which
runs are sick, (K,), and the numbers of the sentence. Thresholds were set on runs of the help desk (`language.sweep`):
betas of 0.02 to 0.3 give no alarm. Left out: whether the score means what it should; that only people, or another
judge, can tell.
"""

from __future__ import annotations

import numpy as np


def _leash(table, eps):
    """How improbable the reference finds the replies: entropy + KL a token, against what it finds of its own."""
    surprise = table["entropy"] + table["kl_ref"] / table["length"]
    (start, end), (_, kl) = table.trend(surprise), table.trend(table["kl_ref"])
    return (kl > 10) & (end > 1.4 * start), kl, end, start


def _below_zero(table, eps):
    kl = table.second_half("kl_ref")
    mean, error = np.nanmean(kl, 0), np.nanstd(kl, 0) / np.sqrt(np.isfinite(kl).sum(0))
    return (mean < -0.1) & (mean < -4 * error), mean, error


def _stands_still(table, eps):
    moved = np.where(np.isfinite(table["kl_ref"]) & (table["lr"] > 0), table["approx_kl"], np.nan)
    moved = np.nanmedian(moved, 0) if len(table) >= 10 else np.full(table.seeds, np.nan)
    return moved < 1e-5, moved, table.largest("lr")


def _no_end(table, eps):
    start, end = table.trend(table["ended"])
    return (start > 0.5) & (end < 0.5 * start), start, end


def _length(longer: bool):
    def judge(table, eps):
        start, end = table.trend(np.where(np.isfinite(table["kl_ref"]), table["length"], np.nan))
        return end > 2.5 * start if longer else end < start / 3, start, end

    return judge


def _all_alike(table, eps):
    start, end = table.trend(np.where(np.isfinite(table["kl_ref"]), table["entropy"], np.nan))
    return end < 0.05 * start, start, end


def _clipped(table, eps):
    late = table.second_half("clip_fraction")
    late = np.nanmedian(np.where(np.isfinite(table.second_half("kl_ref")), late, np.nan), 0)
    return (late > 0.15) & (late <= 0.5), late  # above: "clip fraction saturated"


REPLIES = (
    (
        "far from the reference",
        "KL to the reference is {:.1f} nats a reply; it finds a token {:.2f} nats improbable, its own {:.2f}.",
        "read the replies: a score that still rises may be fooled by now. A larger beta, or stop earlier.",
        _leash,
    ),
    (
        "KL below 0",
        "in the second half the KL to the reference is {:.2f} on average, give or take {:.2f}; it cannot be.",
        "sampling and scoring differ: temperature, top-k or top-p, a minimum length, tokens that were forbidden.",
        _below_zero,
    ),
    (
        "replies no longer end",
        "{:.0%} of the replies ended at first, {:.0%} do now.",
        "no_eos_penalty; is the reply's score read at its end token, and is that token in the mask?",
        _no_end,
    ),
    (
        "replies shrink",
        "they had {:.0f} tokens at first and have {:.0f} now.",
        "does the score like silence? Read some; a lower learning rate, a larger beta.",
        _length(longer=False),
    ),
    (
        "replies grow",
        "they had {:.0f} tokens at first and have {:.0f} now.",
        "does the score like length? Compare scores of long and short replies; a larger beta, a shorter limit.",
        _length(longer=True),
    ),
    (
        "replies all alike",
        "entropy fell from {:.3g} to {:.2g} nats a token: a prompt gets the same reply again and again.",
        "a larger beta, a lower learning rate, an earlier stop; then entropy_coef.",
        _all_alike,
    ),
    (
        "policy stands still",
        "an update moves it by {:.1g} nats a token in the median, at a learning rate of {:.1g}.",
        "a learning rate 10 to 100 times larger; the clip range comes later.",
        _stands_still,
    ),
    (
        "clipping does the braking",
        "in the second half clipping silences {:.0%} of the tokens.",
        "a wider clip range eps, or a lower learning rate and fewer epochs: clipping should be rare.",
        _clipped,
    ),
)
