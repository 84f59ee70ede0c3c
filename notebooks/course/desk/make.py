"""Texts of the help desk, drawn from `world`, and what lies in data/. `tools/make_desk.py` makes all of it."""

from __future__ import annotations

import random
from pathlib import Path

from ppo_lesson.language.data import Pair

from . import world

ROOT = Path(__file__).resolve().parents[3]
DATA = ROOT / "data"


def shipped(name: str) -> Path:
    """A file or folder of data/, which only a checkout has: FileNotFoundError in one sentence where it is not there."""
    if not (DATA / name).exists():
        raise FileNotFoundError(f"the help desk needs a checkout of the course, with its folder data: no {DATA / name}")
    return DATA / name


def documents(count: int = 30_000, *, seed: int = 3) -> list[str]:
    """Texts to pretrain on."""
    rng = random.Random(seed)
    return [world.document(rng) for _ in range(count)]


def demonstrations(count: int, *, seed: int) -> list[Pair]:
    """Prompts with what the staff answered."""
    rng = random.Random(seed)
    cases = [world.draw_case(rng) for _ in range(count)]
    return [Pair(world.prompt(case, rng), world.demonstration(case, rng)) for case in cases]
