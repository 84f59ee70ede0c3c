"""Logs of other trainers as rows of ours, by a table of their metrics.

    log = read_log(open("verl.log").read())
    print(log.title, len(log.rows), log.read)          # verl 0.9.1 60 {'actor/pg_loss': 'policy_loss', ...}

Read are our metrics.jsonl; verl's console and its file logger; TRL's trainer_state.json, or the lines it prints;
OpenRLHF's console; and a CSV of wandb of any of these. Which one it is, its metrics tell, never its name. What each
metric is in ours stands in logs.toml. Left out: everything that is judged, and files of events (TensorBoard, .wandb).
"""

import csv
import json
import re
from typing import NamedTuple

from ..columns import COLUMNS
from ..validate import read_toml, refusal, require

_READ = read_toml(__package__, "logs.toml")
OTHERS = _READ.pop("others")
WRITERS = _READ  # name -> title, some, columns
WRITERS["ours"]["columns"] = dict.fromkeys(COLUMNS, "")
NUMBER = r"(?:[\w.]+\()?([-+]?(?:\d[\d.]*(?:[eE][-+]?\d+)?|nan|inf))\)?"  # also np.float64(0.5)
IN_DICT = re.compile(rf"['\"]([^'\"]+)['\"]: ['\"]?{NUMBER}['\"]?(?=[,}}])")  # what print(a_dict) writes
IN_LINE = re.compile(rf"(\S+):{NUMBER}(?= - |\s*$)")  # verl's console
COLOURS = re.compile(r"\x1b\[[\d;]*m")
STEPS = ("step", "iteration", "global_step", "training/global_step", "_step", "Step", "train/global_step")


class Log(NamedTuple):
    """library: a name in logs.toml, title: with its version. rows: in our words. read: their metric -> our column.

    left_out: sentences about what was not read.
    """

    library: str
    title: str
    rows: list[dict]
    read: dict[str, str]
    left_out: list[str]


def read_log(text: str) -> Log:
    """What the text of a log holds. ValueError with the remedy for one that is empty, broken or of another kind."""
    require(text.strip(), ValueError, "log", "empty")
    left_out: list[str] = []
    rows = [{_plain(name): x for name, x in row.items()} for row in _rows(text, left_out)]
    names = {name for row in rows for name in row}
    require(names, ValueError, "log", "no numbers")
    known = {library: names & of["columns"].keys() for library, of in WRITERS.items() if names & set(of["some"])}
    if not known:
        who = next((f" It looks like {who}." for name, who in OTHERS.items() if name in names), "")
        raise ValueError(refusal("log", "another trainer", ", ".join(sorted(names)[:8]), who))
    library = max(known, key=lambda name: len(known[name]))
    table = WRITERS[library]["columns"]
    theirs = [row for row in rows if row.keys() & table.keys()]
    theirs = _in_order(theirs, left_out)
    if library == "ours":
        return Log(library, WRITERS[library]["title"], theirs, {}, left_out)
    read = {name: " and ".join(columns_in(table[name])) for name in table if name in names}
    return Log(library, WRITERS[library]["title"], [_ours(row, table) for row in theirs], read, left_out)


def _rows(text: str, left_out: list[str]) -> list[dict]:
    """{their metric: number} of every line or entry that has some."""
    try:
        whole = json.loads(text)
    except ValueError:
        require('"log_history"' not in text, ValueError, "log", "half a file")
        return _lines(text, left_out) or _table(text, left_out)
    whole = whole.get("log_history", [whole]) if isinstance(whole, dict) else whole
    require(isinstance(whole, list), ValueError, "log", "no numbers")
    return [_numbers(row) for row in whole if isinstance(row, dict)]


def _lines(text: str, left_out: list[str]) -> list[dict]:
    """Rows of JSON Lines, or of a console, whose other lines are passed over."""
    rows, lines = [], COLOURS.sub("", text).splitlines()
    for number, line in enumerate(lines, 1):
        start = re.search(r"(?:^|\s)(step:\d+) - |Global step (\d+): (?=\{)|^\s*(?=\{)", line)
        if start is None:
            continue
        whole, rest = line.rstrip().endswith("}"), line[start.end() :]
        if start[1]:
            row, whole = dict(IN_LINE.findall(line)), number < len(lines) or text.endswith("\n")
        elif start[2]:
            row = {"step": start[2], **dict(IN_DICT.findall(rest))}
        else:
            try:
                row = json.loads(rest)
            except ValueError:
                row = dict(IN_DICT.findall(rest)) if rest.startswith("{'") else {}
                whole = whole and bool(row)
        if whole:
            rows.append(_numbers(row))
        else:
            require(number == len(lines), ValueError, "log", "broken line", number, line[:60])
            left_out.append(f"the last line, {number}, is half written")
    return rows


def _table(text: str, left_out: list[str]) -> list[dict]:
    """Rows of a CSV; wandb writes the run's name before a metric, and its least and largest beside it."""
    lines = [line for line in text.splitlines() if line.strip()]
    head = next(csv.reader(lines[:1]))
    require(len(head) > 1, ValueError, "log", "no numbers")
    runs = sorted({run for name in head for run, dash, _ in [name.rpartition(" - ")] if dash})
    require(len(runs) < 2, ValueError, "log", "several runs", ", ".join(runs))
    rows = list(csv.reader(lines[1:]))
    if rows and (len(rows[-1]) < len(head) or not text.endswith("\n")):
        rows.pop()
        left_out.append(f"the last line, {len(rows) + 2}, is half written")
    for number, row in enumerate(rows, 2):
        require(len(row) == len(head), ValueError, "log", "broken line", number, ",".join(row)[:60])
    names = [name.rpartition(" - ")[2] for name in head]
    named = [(i, name) for i, name in enumerate(names) if not name.endswith(("__MIN", "__MAX"))]
    return [_numbers({name: row[i] for i, name in named}) for row in rows]


def _numbers(row: dict) -> dict:
    """What are numbers in it; verl's file logger has them one floor down, and a metric of many seeds is a list."""
    row = row | row["data"] if isinstance(row.get("data"), dict) else row
    found = {}
    for name, x in row.items():
        match = re.fullmatch(NUMBER, x.strip(), re.IGNORECASE) if isinstance(x, str) else None
        if match or (isinstance(x, int | float | list) and not isinstance(x, bool)):
            found[name] = x if match is None else float(match[1])
    return found


def _plain(name: str) -> str:
    """wandb writes what transformers and OpenRLHF log as train/..."""
    short = name.removeprefix("train/")
    return short if any(short in of["columns"] or short in of["some"] for of in WRITERS.values()) else name


def _in_order(rows: list[dict], left_out: list[str]) -> list[dict]:
    """One row a step. A run that went on from a checkpoint tells some again: the later ones count."""
    kept, steps, again = [], [], 0
    for row in rows:
        step = next((row[name] for name in STEPS if name in row), None)
        while step is not None and steps and steps[-1] is not None and steps[-1] > step:
            steps.pop(), kept.pop()
            again += 1
        if step is not None and steps and steps[-1] == step:
            again += bool(kept[-1].keys() & row.keys() - set(STEPS))
            kept[-1] = kept[-1] | row
        else:
            kept.append(row), steps.append(step)
    if again:
        left_out.append(f"{again} rows whose steps come again later (a run that went on, or a second run: split those)")
    return kept


def columns_in(entry: str) -> list[str]:
    """The columns of ours in an entry of logs.toml, without what is done to the number.

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
