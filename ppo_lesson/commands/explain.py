"""python -m ppo_lesson explain LOG: what the log of a run shows, whoever wrote it, and what it cannot show.

    python -m ppo_lesson explain runs/rlhf        a folder that `rlhf` wrote, or its metrics.jsonl
    python -m ppo_lesson explain verl.log         verl's or OpenRLHF's console, TRL's trainer_state.json, wandb's CSV

First the symptoms of `diagnose`; then what could not be judged, for the log has no number for it; then the eight
questions that people ask most, each with its reason and the cell of the course that shows it. They stand, with their
limits, in explain.toml. Left out: settings, which no log tells.
"""

import contextlib
import csv
import json
import operator
import re
from pathlib import Path

import numpy as np

from ..bridge.logs import NUMBER, Log, in_our_words
from ..columns import ENOUGH, History
from ..diagnose import RULES, asked, diagnose, report
from ..validate import number, read_toml, refusing, require

_READ = read_toml(__package__, "explain.toml")
QUESTIONS, VERDICTS, KLS = _READ["question"], _READ["verdicts"], _READ["kl"]
IN_FOLDER = ("metrics.jsonl", "trainer_state.json")  # in a folder
IN_DICT = re.compile(rf"['\"]([^'\"]+)['\"]: ['\"]?{NUMBER}['\"]?(?=[,}}])")  # what print(a_dict) writes
IN_LINE = re.compile(rf"(\S+):{NUMBER}(?= - |\s*$)")  # verl's console
COLOURS = re.compile(r"\x1b\[[\d;]*m")
ONE_STEP = 1e-7  # a KL of an update below this is rounding: one optimizer step an iteration, whose ratio is 1


def execute(given: dict) -> int:
    """Print what the log shows. ValueError or OSError for what its user can mend."""
    path, eps = Path(given["log"]), number("eps", given["eps"], 0, 1)
    path = next((path / name for name in IN_FOLDER if (path / name).is_file()), path)
    require(path.is_file(), ValueError, "log", "no log", path)
    data = path.read_bytes()
    with refusing(UnicodeDecodeError, ValueError, "log", "binary", path):
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    require("\0" not in text, ValueError, "log", "binary", path)
    print(explain(text, eps=eps))
    return 0


def explain(text: str, *, eps: float = 0.2) -> str:
    """The whole answer to the text of a log. ValueError where it cannot be read; see `read_log`."""
    log = read_log(text)
    table = history(log)
    unasked = {rule.name for rule in RULES} - {rule.name for rule, *_ in asked(table, eps=eps)}
    parts = [f"{len(table)} rows of {log.title}" + "".join(f"; {what} and left out" for what in log.left_out)]
    parts += [report(table, eps=eps)]
    why = "it has no number for" if len(table) >= ENOUGH else f"it has no number, or not {ENOUGH} rows, for"
    judged = f"{len(RULES) - len(unasked)} of {len(RULES)} rules could be asked of this log;"
    parts += [f"{judged} {why}: {', '.join(sorted(unasked))}."]
    for i, (question, verdict, said) in enumerate(answers(log, table, eps=eps), 1):
        lines = [f"{i}. {question['title']} [{VERDICTS[verdict]}]", said, "See " + "; ".join(question["cells"]) + "."]
        parts.append("\n    ".join(lines))
    return "\n\n".join(parts)


def read_log(text: str) -> Log:
    """What the text of a log holds. ValueError with the remedy for one that is empty, broken or of another kind."""
    require(text.strip(), ValueError, "log", "empty")
    left_out: list[str] = []
    return in_our_words(_rows(text, left_out), left_out)


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


def history(log: Log) -> History:
    """The log's rows for `diagnose`."""
    table = History(log.rows)
    if log.read and not np.nanmax(table["approx_kl"], initial=0) > ONE_STEP:  # not a policy that stands still
        table = History({name: x for name, x in row.items() if name != "approx_kl"} for row in log.rows)
    table.foreign |= log.read
    return table


def answers(log: Log, table: History, *, eps: float = 0.2) -> list[tuple[dict, str, str]]:
    """(question, verdict, answer) of each question: "sick", "fine", or "open" where the log cannot say."""
    found, said = {symptom.name for symptom in diagnose(table, eps=eps)}, []
    kls = " ".join(f"{_called(name, log)}: {words}." for name, words in KLS.items() if _there(name, table))
    for question in QUESTIONS:
        if not any(_there(name, table) for name in question["columns"]):
            said.append((question, "open", question["missing"]))
            continue
        for case in question["cases"]:
            holds, numbers = _judged(case.get("when", ()), table)
            if holds and ("symptoms" not in case or found & set(case["symptoms"])):
                said.append((question, case["verdict"], case["say"].format(*numbers, kls=kls)))
                break
    return said


def _judged(conditions, table: History) -> tuple[bool, list[float]]:
    """Whether all of "statistic column < number" hold, and the statistics; of many seeds their median."""
    holds, numbers = True, []
    for condition in conditions:
        statistic, column, sign, limit = condition.split()
        x = _statistic(statistic, column, table)
        holds &= {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}[sign](x, float(limit))
        numbers.append(x)
    return holds, numbers


def _statistic(name: str, column: str, table: History) -> float:
    """See explain.toml; NaN where the column has no number, or too few."""
    x = table[column]
    if not _there(column, table):
        return float("nan")
    if name in ("growth", "rise"):
        start, end = (np.median(part) for part in table.trend(x))
        return float(end / start if name == "growth" and start else end - start)
    late = x[len(x) // 2 :]
    of = {"size": np.abs(x), "wide": np.abs(x), "late": late if np.isfinite(late).any() else x}.get(name, x)
    how = {"least": np.nanmin, "most": np.nanmax, "wide": np.nanmax}.get(name, np.nanmedian)
    return float(how(of))


def _there(column: str, table: History) -> bool:
    return bool(np.isfinite(table[column]).any())


def _called(column: str, log: Log) -> str:
    """What the log itself calls our column."""
    return " or ".join(theirs for theirs, ours in log.read.items() if column in ours.split(" and ")) or column
