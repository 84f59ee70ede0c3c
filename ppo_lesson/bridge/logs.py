"""Logs of other trainers as rows of ours, by a table of their metrics.

Its metrics tell whose log it is, never its name; logs.toml has them for each library and version. Left out: reading
files, and everything that is judged.
"""

import contextlib
import csv
import json
import re
from typing import NamedTuple

from ..columns import COLUMNS
from ..validate import read_toml, refusal, require

_READ = read_toml(__package__, "logs.toml")
OTHERS = _READ.pop("others")
WRITERS = _READ  # name -> title, some, columns, and of some older
WRITERS["ours"]["columns"] = dict.fromkeys(COLUMNS, "")
METRICS = {name for of in WRITERS.values() for part in ("columns", "some", "older") for name in of.get(part, ())}
NUMBER = r"(?:[\w.]+\()?([-+]?(?:\d[\d.]*(?:[eE][-+]?\d+)?|nan|inf(?:inity)?))\)?"  # also np.float64(0.5)
IN_DICT = re.compile(rf"['\"]([^'\"]+)['\"]: ['\"]?{NUMBER}['\"]?(?=[,}}])", re.IGNORECASE)  # what print(a_dict) writes
IN_LINE = re.compile(rf"(\S+):{NUMBER}(?= - |\s*$)", re.IGNORECASE)  # verl's console
COLOURS = re.compile(r"\x1b\[[\d;]*m")


class Log(NamedTuple):
    """title: library and version. rows: in our words. read: their metric -> our column. left_out: what was not read."""

    library: str
    title: str
    rows: list[dict]
    read: dict[str, str]
    left_out: list[str]


def read_log(text: str) -> Log:
    """What the text of a log holds. ValueError with the remedy for one that is empty, broken or of another kind."""
    require(text.strip(), ValueError, "log", "empty")
    left_out: list[str] = []
    rows = [{_plain(name): x for name, x in _numbers(row).items()} for row in _rows(text, left_out)]
    names = {name for row in rows for name in row}
    require(names, ValueError, "log", "no numbers")
    known = {library: names & of["columns"].keys() for library, of in WRITERS.items() if names & set(of["some"])}
    if not known:
        who = next((f" It looks like {who}." for name, who in OTHERS.items() if name in names), "")
        raise ValueError(refusal("log", "another trainer", ", ".join(sorted(names)[:8]), who))
    library = max(known, key=lambda name: len(known[name]))
    table, older = WRITERS[library]["columns"], WRITERS[library].get("older", {})
    called = {new: old for old, new in older.items() if old in names and new not in names}
    rows = [{new: row[old] for new, old in called.items() if old in row} | row for row in rows]
    read = {called.get(n, n): " and ".join(columns_in(x)) for n, x in table.items() if x and n in names | called.keys()}
    theirs = [_ours(row, table) if read else row for row in rows if row.keys() & table.keys()]
    return Log(library, WRITERS[library]["title"], theirs, read, left_out)


def _rows(text: str, left_out: list[str]) -> list[dict]:
    """{their metric: number} of every line or entry that has some."""
    try:
        whole = json.loads(text)
    except ValueError:
        require('"log_history"' not in text, ValueError, "log", "half a file")
        return _lines(text, left_out) or _table(text, left_out)
    whole = whole.get("log_history", [whole]) if isinstance(whole, dict) else whole
    require(isinstance(whole, list), ValueError, "log", "no numbers")
    return [row for row in whole if isinstance(row, dict)]


def _lines(text: str, left_out: list[str]) -> list[dict]:
    """Rows of JSON Lines, or of a console, whose other lines are passed over."""
    rows, lines = [], COLOURS.sub("", text).splitlines()
    for where, line in enumerate(lines, 1):
        start = re.search(r"(?:^|\s)(step:\d+) - |Global step (\d+): (?=\{)|^\s*(?=\{)", line)
        if start is None:
            continue
        whole, rest = line.rstrip().endswith("}"), line[start.end() :]
        row = {"step": start[2]} if start[2] else {}
        if start[1]:
            row, whole = dict(IN_LINE.findall(line)), where < len(lines) or text.endswith("\n")
        elif rest.startswith("{'"):
            row |= IN_DICT.findall(rest)
        else:
            with contextlib.suppress(ValueError):
                row = json.loads(rest)
        if whole and row:
            rows.append(row)
        else:
            require(where == len(lines), ValueError, "log", "broken line", where, line[:60])
            left_out.append(f"the last line, {where}, is half written")
    return rows


def _table(text: str, left_out: list[str]) -> list[dict]:
    """Rows of a CSV; wandb writes the run's name before a metric, and its least and largest beside it."""
    head, *rows = csv.reader(line for line in text.splitlines() if line.strip())
    require(len(head) > 1, ValueError, "log", "no numbers")
    runs = sorted({name.rpartition(" - ")[0] for name in head if " - " in name})
    require(len(runs) < 2, ValueError, "log", "several runs", ", ".join(runs))
    if rows and (len(rows[-1]) < len(head) or not text.endswith("\n")):
        rows.pop()
        left_out.append(f"the last line, {len(rows) + 2}, is half written")
    for where, row in enumerate(rows, 2):
        require(len(row) == len(head), ValueError, "log", "broken line", where, ",".join(row)[:60])
    names = [name.rpartition(" - ")[2] for name in head]
    return [{k: x for k, x in zip(names, row) if not k.endswith(("__MIN", "__MAX"))} for row in rows]


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
    return short if short in METRICS else name


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
