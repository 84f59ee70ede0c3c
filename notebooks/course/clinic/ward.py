"""The bug clinic: twelve silent bugs, each an edit of a line or two of the real trainer. There is no second trainer.

    with PATIENTS["entropy-sign"]:
        rows = list(ppo(MAZE, policy, critic, CLINIC, seed=0))      # the trainer is sick in here, and nowhere else
    print(PATIENTS["entropy-sign"].diff())

Who they are stands in ward.toml. While the `with` lasts, the code of the patient's function is compiled again with the
sick line in the place of the healthy one and put into the function itself, so everybody who imported it gets the sick
one. Left out: several threads (the trainer is sick in all of them), and generators that are made inside the `with` and
used outside.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import CodeType, FunctionType

import numpy as np
from gymnasium.vector import SyncVectorEnv

from ppo_lesson import validate
from ppo_lesson.maze import Maze, solve
from ppo_lesson.policies import TabularCritic, TabularPolicy
from ppo_lesson.ppo import PPOConfig, ppo

from ..edited import edited, source_of

# Where patients are examined: a slippery floor and little time, so that at first most episodes are truncated and later
# most terminate; an entropy bonus, so that its sign matters; nothing but clipping, so that nothing hides what is wrong.
SETTING = {"slip": 0.1, "max_steps": 20}
MAZE = Maze(**SETTING)
CLINIC = PPOConfig(
    iterations=24, steps=16, lr=0.3, critic_lr=0.3, target_kl=None, entropy_coef=0.03, max_grad_norm=None
)
VECTOR = replace(CLINIC, iterations=13, steps=8, epochs=4)  # for `SyncVectorEnv`s, which are slower


@dataclass(frozen=True)
class Edit:
    """In `function` ("module.name" or "module.Class.name") the text `healthy`, found there once, becomes `sick`."""

    function: str
    healthy: str
    sick: str

    def find(self) -> FunctionType:
        """The function itself, without decorators."""
        module, *path = self.function.split(".")
        found = importlib.import_module(f"ppo_lesson.{module}")
        for name in path:
            found = getattr(found, name)
        return inspect.unwrap(found)

    def made(self) -> FunctionType:
        """The sick function. ValueError unless the healthy text is there once: the trainer has changed, or is sick."""
        return edited(self.find(), {self.healthy: self.sick})


@dataclass(frozen=True)
class Patient:
    """A disease of the trainer. `with patient:` makes it break out; may be nested with other patients.

    name: a short id. disease: in plain words. edits: what is changed. threads: where it was found, or asked about.
    vector: examined in the maze as a Gymnasium vector environment, for the line that is sick serves only those.
    """

    name: str
    disease: str
    edits: tuple[Edit, ...]
    threads: tuple[str, ...]
    vector: bool = False

    def __enter__(self) -> Patient:
        sick = [(edit.find(), edit.made().__code__) for edit in self.edits]  # all, before the first is put in place
        _ADMITTED.append((self, [(function, function.__code__) for function, _ in sick]))
        for function, code in sick:
            function.__code__ = code
        return self

    def __exit__(self, *error) -> None:
        _, healthy = _ADMITTED.pop(max(i for i, (patient, _) in enumerate(_ADMITTED) if patient is self))
        for function, code in healthy:
            function.__code__ = code

    def source(self) -> str:
        """The sick functions, whole, for those who want to find the line themselves."""
        return "\n\n".join(source_of(edit.made()) for edit in self.edits)

    def diff(self, context: int = 3) -> str:
        """What is wrong, as a unified diff of the true source, with `context` lines around it."""
        parts = []
        for edit in self.edits:
            lines = (source_of(made).splitlines(keepends=True) for made in (edit.find(), edit.made()))
            parts += difflib.unified_diff(*lines, edit.function, f"{edit.function} (sick)", n=context)
        return "".join(parts)


_ADMITTED: list[tuple[Patient, list[tuple[FunctionType, CodeType]]]] = []  # who is in, and the code to be restored


def examine(patient: Patient | None = None, seeds: Sequence[int] = range(16), *, vector: bool = False) -> list[dict]:
    """Train on `seeds` with the disease (None: healthy) and return the rows, arrays with one number a seed.

    Rows have one key more: J, the exact value at the start of the policy after that update, which no real run knows.
    vector: train in `SyncVectorEnv`s of the maze, one seed after the other, as a patient with `vector` does always.
    """
    if patient is not None:
        with patient:
            return examine(None, seeds, vector=patient.vector)
    seeds = [validate.integer("seeds", seed, 0) for seed in seeds]
    if not vector:
        return _train(MAZE, CLINIC, seeds)
    runs = []
    for seed in seeds:
        env = SyncVectorEnv([lambda: Maze(**SETTING)] * VECTOR.robots)
        runs.append(_train(env, VECTOR, seed))
        env.close()
    return [_beside(rows) for rows in zip(*runs)]


def _train(env, config: PPOConfig, seeds) -> list[dict]:
    axes = () if isinstance(seeds, int) else (len(seeds),)
    policy, critic = TabularPolicy(seeds=axes), TabularCritic(seeds=axes)
    rows = []
    for row in ppo(env, policy, critic, config, seed=seeds):
        J = solve(policy.probs, config.gamma, maze=MAZE).J
        rows.append(row | {"J": J.numpy() if axes else J.item()})
    return rows


def _beside(rows: Sequence[dict]) -> dict:
    """The same iteration of several runs as one row of arrays; NaN where a run has no such number."""
    row = {name: np.array([r.get(name, np.nan) for r in rows]) for name in {name for r in rows for name in r}}
    return row | {name: rows[0][name] for name in ("iteration", "lr")}


def _read(name: str, disease: str, edits: list, threads: list, vector: bool = False) -> Patient:
    return Patient(name, disease, tuple(Edit(*edit) for edit in edits), tuple(threads), vector)


_TABLE = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))["patients"]
WARD = tuple(_read(**patient) for patient in _TABLE)
PATIENTS = {patient.name: patient for patient in WARD}
