"""python -m ppo_lesson explain LOG: what the log of a run shows, whoever wrote it, and what it cannot show.

    python -m ppo_lesson explain runs/rlhf        a folder that `rlhf` wrote, or its metrics.jsonl
    python -m ppo_lesson explain verl.log         verl's or OpenRLHF's console, TRL's trainer_state.json, wandb's CSV

The symptoms of `diagnose`, what could not be judged, and the eight questions that people ask most, each with its reason
and the cell that shows it; they stand, with their limits, in explain.toml. Left out: settings, which no log tells.
"""

import operator
import warnings
from pathlib import Path

import numpy as np

from ..bridge.logs import Log, read_log
from ..columns import ENOUGH, History
from ..diagnose import RULES, asked, diagnose, report
from ..validate import number, read_toml, require

_READ = read_toml(__package__, "explain.toml")
QUESTIONS, VERDICTS, KLS = _READ["question"], _READ["verdicts"], _READ["kl"]
IN_FOLDER = ("metrics.jsonl", "trainer_state.json")  # in a folder
ONE_STEP = 1e-7  # a KL of an update below this is rounding: one optimizer step an iteration, whose ratio is 1


def execute(given: dict) -> int:
    """Print what the log shows. ValueError or OSError for what its user can mend."""
    path, eps = Path(given["log"]), number("eps", given["eps"], 0, 1)
    path = next((path / name for name in IN_FOLDER if (path / name).is_file()), path)
    require(path.is_file(), ValueError, "log", "no log", path)
    data = path.read_bytes()
    text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig", "replace")
    require("\0" not in text, ValueError, "log", "binary", path)
    print(explain(text, eps=eps))
    return 0


def explain(text: str, *, eps: float = 0.2) -> str:
    """The whole answer to the text of a log. ValueError where it cannot be read; see `bridge.logs.read_log`."""
    log = read_log(text)
    table = history(log)
    unasked = {rule.name for rule in RULES} - {rule.name for rule, *_ in asked(table, eps=eps)}
    many = f"{len(table)} row" + "s" * (len(table) != 1)
    parts = [f"{many} of {log.title}" + "".join(f"; {what} and left out" for what in log.left_out)]
    parts += [report(table, eps=eps)]
    why = "it has no number for" if len(table) >= ENOUGH else f"it has no number, or not {ENOUGH} rows, for"
    judged = f"{len(RULES) - len(unasked)} of {len(RULES)} rules could be asked of this log;"
    parts += [f"{judged} {why}: {', '.join(sorted(unasked))}."]
    answered = answers(log, table, eps=eps)
    if wrong := [question["name"] for question, verdict, _ in answered if verdict == "sick"]:
        parts[0] += f". Wrong by the questions below: {', '.join(wrong)}"
    for i, (question, verdict, said) in enumerate(answered, 1):
        lines = [f"{i}. {question['title']} [{VERDICTS[verdict]}]", said, "See " + "; ".join(question["cells"]) + "."]
        parts.append("\n    ".join(lines))
    return "\n\n".join(parts)


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
    called = {ours: theirs for theirs, both in reversed(log.read.items()) for ours in both.split(" and ")}
    kls = " ".join(f"{called.get(name, name)}: {words}." for name, words in KLS.items() if _there(name, table))
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


def _there(column: str, table: History) -> bool:
    return bool(np.isfinite(table[column]).any())


def _statistic(name: str, column: str, table: History) -> float:
    """See explain.toml; NaN where the column has no number, or too few."""
    x = table[column]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # "all NaN": nothing to judge
        start, end = (np.nanmedian(part) for part in table.trend(x))
        found = {"size": np.nanmedian(np.abs(x)), "wide": np.nanmax(np.abs(x)), "late": np.nanmedian(x[len(x) // 2 :])}
        found |= {"least": np.nanmin(x), "most": np.nanmax(x), "growth": end / start, "rise": end - start}
    return float(found[name])
