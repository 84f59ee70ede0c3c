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
from ..validate import read_toml, require

WRITERS = read_toml(__package__, "logs.toml")  # name -> title, some, columns, and of some older
OTHERS = WRITERS.pop("others")
WRITERS["ours"]["columns"] = dict.fromkeys(COLUMNS, "")
METRICS = {name for of in WRITERS.values() for part in ("columns", "some", "older") for name in of.get(part, ())}
STEPS = ("step", "iteration", "Step", "_step", "epoch")  # what counts a log's rows: the first of these that is there
NUMBER = r"(?:[\w.]+\()?([-+]?(?:\d+(?:,\d{3})*(?:\.\d*)?(?:e[-+]?\d+)?|nan|inf(?:inity)?))\)?"  # also np.float64(0.5)
IN_DICT = re.compile(rf"['\"]([^'\"]+)['\"]: ['\"]?{NUMBER}['\"]?(?=[,}}])", re.IGNORECASE)  # what print(a_dict) writes
IN_LINE = re.compile(rf"(\S+):\s*{NUMBER}(?=\s+- |\s*$)", re.IGNORECASE)  # verl's console
START = re.compile(r"(?:^|\s)(step:\s*\d+)\s+- |Global step (\d+): (?=\{)|(?<!['\"]: )(?=\{(?:\"|'(?![^']*': [{[])))")
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
    rows = _newest(list(map(_numbers, _rows(text, left_out))), left_out)
    names = {name for row in rows for name in row}
    require(names, ValueError, "log", "no numbers")
    known = {library: names & of["columns"].keys() for library, of in WRITERS.items() if names & set(of["some"])}
    who = next((f" It looks like {who}." for name, who in OTHERS.items() if name in names), "")
    require(known, ValueError, "log", "another trainer", ", ".join(sorted(names)[:8]), who)
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
        _, found, rest = text.partition('"log_history"')
        require(not found, ValueError, "log", "several files" if found in rest else "half a file")
        return _lines(text, left_out) or _table(text, left_out)
    whole = whole.get("log_history", [whole]) if isinstance(whole, dict) else whole
    require(isinstance(whole, list), ValueError, "log", "no numbers")
    return [row for row in whole if isinstance(row, dict)]


def _lines(text: str, left_out: list[str]) -> list[dict]:
    """Rows of JSON Lines, or of a console, whose other lines are passed over."""
    rows, lines = [], COLOURS.sub("", text).splitlines()
    for where, line in enumerate(lines, 1):
        if (start := START.search(line)) is None:
            continue
        whole, row, rest = "}" in line, {"step": start[2]} if start[2] else {}, line[start.end() :]
        if start[1]:
            row, whole = dict(IN_LINE.findall(line)), where < len(lines) or text.endswith("\n")
        elif rest.startswith("{'"):
            row |= IN_DICT.findall(rest)
        else:
            with contextlib.suppress(ValueError):
                row |= json.JSONDecoder().raw_decode(rest)[0]
        if whole and row:
            rows.append(row)
        elif where == len(lines):
            left_out.append(f"the last line, {where}, is half written")
        else:  # a dict of something else, as of the settings, may be
            require(METRICS.isdisjoint(re.split("['\"]", line)), ValueError, "log", "broken line", where, line[:60])
    return rows


def _table(text: str, left_out: list[str]) -> list[dict]:
    """Rows of a CSV; wandb writes the run's name before a metric, and its least and largest beside it."""
    lines = [line for line in text.splitlines() if line.strip()]
    require(lines[0].strip() != "{", ValueError, "log", "over lines")
    between = max(",;\t", key=lines[0].count)  # as spreadsheets write it; elsewhere a comma may be the decimal one
    head, *rows = csv.reader(lines, delimiter=between)
    require(len(head) > 1, ValueError, "log", "no numbers")
    runs = sorted({name.rpartition(" - ")[0] for name in head if " - " in name})
    require(len(runs) < 2, ValueError, "log", "several runs", ", ".join(runs))
    if rows and (len(rows[-1]) < len(head) or not text.endswith("\n")):
        rows.pop()
        left_out.append(f"the last line, {len(rows) + 2}, is half written")
    for where, row in enumerate(rows, 2):
        require(len(row) == len(head), ValueError, "log", "broken line", where, ",".join(row)[:60])
    names = [name.rpartition(" - ")[2] for name in head]
    rows = [[x.replace(",", "." if between != "," and "." not in x else ",") for x in row] for row in rows]
    return [{k: x for k, x in zip(names, row) if not k.endswith(("__MIN", "__MAX"))} for row in rows]


def _newest(rows: list[dict], left_out: list[str]) -> list[dict]:
    """In order, without rows whose steps come again later: those of a run before, or of before a resume."""
    name = next((x for x in STEPS if any(isinstance(row.get(x), int | float) for row in rows)), None)
    kept, last, steps = [], float("-inf"), [row[name] for row in rows if name in row]
    newest_first = len({*steps}) > 2 and steps == sorted(steps, reverse=True)  # a table may be turned round
    for row in rows[::-1] if newest_first else rows:
        if (last := row.get(name, last)) < (kept[-1][1] if kept else last):
            kept = [(old, at) for old, at in kept if at < last]
        kept.append((row, last))
    left_out += [f"{len(rows) - len(kept)} rows, whose steps come again later, are older"] * (len(kept) < len(rows))
    return [row for row, _ in kept]


def _numbers(row: dict) -> dict:
    """What are numbers in it; verl's file logger has them one floor down, and a metric of many seeds is a list."""
    row = row | row["data"] if isinstance(row.get("data"), dict) else row
    found = {}
    for name, x in row.items():
        name = short if (short := name.removeprefix("train/")) in METRICS else name  # so wandb has transformers' own
        if isinstance(x, str) and (match := re.fullmatch(NUMBER, x.strip(), re.IGNORECASE)):
            found[name] = float(match[1].replace(",", ""))
        elif isinstance(x, int | float | list) and not isinstance(x, bool):
            found[name] = x
    return found


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
            made.setdefault(ours, 1 - x if part.startswith("1 - ") else abs(x) if part.startswith("|") else x)
    return made
