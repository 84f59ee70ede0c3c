"""Logs of other trainers as rows of ours, by a table of their metrics.

Its metrics tell whose log it is, never its name; logs.toml has them for each library and version. Left out: reading
files, and everything that is judged.
"""

import re
from typing import NamedTuple

from ..columns import COLUMNS
from ..validate import read_toml, refusal, require

_READ = read_toml(__package__, "logs.toml")
OTHERS = _READ.pop("others")
WRITERS = _READ  # name -> title, some, columns
WRITERS["ours"]["columns"] = dict.fromkeys(COLUMNS, "")
NUMBER = r"(?:[\w.]+\()?([-+]?(?:\d[\d.]*(?:[eE][-+]?\d+)?|nan|inf))\)?"  # also np.float64(0.5)
STEPS = ("step", "iteration", "global_step", "training/global_step", "_step", "Step", "train/global_step")


class Log(NamedTuple):
    """title: library and version. rows: in our words. read: their metric -> our column. left_out: what was not read."""

    library: str
    title: str
    rows: list[dict]
    read: dict[str, str]
    left_out: list[str]


def in_our_words(rows: list[dict], left_out: list[str]) -> Log:
    """The log whose lines hold these metrics. ValueError if none is a number, or they are of another trainer."""
    rows = [{_plain(name): x for name, x in _numbers(row).items()} for row in rows]
    names = {name for row in rows for name in row}
    require(names, ValueError, "log", "no numbers")
    known = {library: names & of["columns"].keys() for library, of in WRITERS.items() if names & set(of["some"])}
    if not known:
        who = next((f" It looks like {who}." for name, who in OTHERS.items() if name in names), "")
        raise ValueError(refusal("log", "another trainer", ", ".join(sorted(names)[:8]), who))
    library = max(known, key=lambda name: len(known[name]))
    table = WRITERS[library]["columns"]
    theirs = _in_order([row for row in rows if row.keys() & table.keys()], left_out)
    read = {name: " and ".join(columns_in(table[name])) for name in table if name in names and library != "ours"}
    theirs = [_ours(row, table) for row in theirs] if read else theirs
    return Log(library, WRITERS[library]["title"], theirs, read, left_out)


def _numbers(row: dict) -> dict:
    """What are numbers in it; verl's file logger has them one floor down, and a metric of many seeds is a list."""
    row = row | row["data"] if isinstance(row.get("data"), dict) else row
    found = {}
    for name, x in row.items():
        if isinstance(x, str) and (match := re.fullmatch(NUMBER, x.strip(), re.IGNORECASE)):
            found[name] = float(match[1])
        elif isinstance(x, int | float | list) and not isinstance(x, bool):
            found[name] = x
    return found


def _plain(name: str) -> str:
    """wandb writes what transformers and OpenRLHF log as train/..."""
    short = name.removeprefix("train/")
    return short if any(short in of["columns"] or short in of["some"] for of in WRITERS.values()) else name


def _in_order(rows: list[dict], left_out: list[str]) -> list[dict]:
    """One row a step. A run that went on from a checkpoint tells some again: the later ones count."""
    kept, again = [], 0  # (step, row)
    for row in rows:
        step = next((row[name] for name in STEPS if name in row), float("nan"))
        while kept and kept[-1][0] > step:
            kept.pop()
            again += 1
        same = bool(kept) and kept[-1][0] == step
        again += same and bool(kept[-1][1].keys() & row.keys() - set(STEPS))
        kept[len(kept) - same :] = [(step, kept[-1][1] | row if same else row)]
    if again:
        left_out.append(f"{again} rows whose steps come again later (a run that went on, or a second run: split those)")
    return [row for _, row in kept]


def columns_in(entry: str) -> list[str]:
    """The columns of ours in an entry of logs.toml.

    >>> columns_in("|approx_kl|, update_k1"), columns_in("1 - ended"), columns_in("kl_ref / response_length/mean")
    (['approx_kl', 'update_k1'], ['ended'], ['kl_ref'])
    """
    return [re.split(" [/+] ", part.removeprefix("1 - "))[0].strip("|") for part in entry.split(", ")]


def _ours(row: dict, table: dict) -> dict:
    """One row in our words: each entry of the table is solved for our column."""
    made = {}
    for name in (name for name in table if name in row):
        for part, ours in zip(table[name].split(", "), columns_in(table[name]), strict=True):
            x, (_, sign, other) = row[name], re.fullmatch(r"(.*?)(?: ([/+]) (.*))?", part).groups()
            there = row.get(other, float("nan"))
            x = {"/": x * there, "+": x - there}.get(sign, x)
            x = 1 - x if part.startswith("1 - ") else abs(x) if part.startswith("|") else x
            made.setdefault(ours, x)
    return made
