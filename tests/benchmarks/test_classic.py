"""The classic comparison: our poles are trained as tensors and judged in Gymnasium, as all others are."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import classic  # noqa: E402

SHORT = replace(classic.POLES, iterations=4)
SEEN = np.random.default_rng(0).normal(0, 0.5, (200, 4)).astype(np.float32)


@pytest.mark.parametrize("at_once", [1, 3])
def test_a_short_training_is_judged(at_once):
    train, settings = classic.poles(SHORT, at_once=at_once)
    trained = train("CartPole-v1", 50_000, 300)
    assert trained.steps == 4 * 1024 and settings["trainings at once"] == at_once
    assert all(8 <= x <= 500 for x in classic.evaluate("CartPole-v1", trained, 3, 300, greedy=False))
    assert 0 < trained.floor() and 0 < trained.seconds


def test_of_many_at_once_the_judged_one_is_its_seeds_own():
    """Greedy actions for 200 states: of three trained together the first decides as the one trained alone."""
    together, alone = (classic.poles(SHORT, at_once=n)[0]("CartPole-v1", 50_000, 301).act(SEEN, True) for n in (3, 1))
    other = classic.poles(SHORT)[0]("CartPole-v1", 50_000, 302).act(SEEN, True)
    assert (together != alone).sum() <= 2 < (other != alone).sum(), "rounding decides where both actions are as likely"


def test_a_training_that_is_not_counted_is_short():
    """What warms the libraries up asks for fewer steps than the settings name."""
    assert classic.poles(classic.POLES)[0]("CartPole-v1", 2048, 0).steps == 2048
