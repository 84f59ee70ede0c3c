"""What a run was worth: a summary to read and one for programs, and every curve as a PNG."""

import shlex
from pathlib import Path
from statistics import mean, stdev
from textwrap import indent

from ..columns import COLUMNS
from ..diagnose import report
from .run_folder import write_json

SHARES = ("accuracy", "ended")
UNSEEN = ("return_mean", "policy_loss", "grad_norm", "ratio_error", "lr", "seconds")  # columns without a plot
LABELS = {name: column.label(tokens=True) for name, column in COLUMNS.items() if name not in UNSEEN}
LABELS["kl_ref"] = "KL to the start (nats a reply)"  # "reference" is the trainer's word, not that of its options


def finish(command, folder: Path, rows, before, after, seconds, following: list[str], *, eps=0.2, held=1) -> None:
    """Write report.md, summary.json and plots/, and print the first.

    before, after: ({column: numbers}, [(prompt, reply), ...]). Of the numbers the mean is told, give or take its
    standard error, and how many they are.
    """
    (facts, replies), (facts_after, replies_after) = before, after
    plots = plot(rows, folder / "plots", "step" if "step" in rows[0] else "iteration")
    samples = [{"prompt": p, "before": x, "after": y} for (p, x), (_, y) in zip(replies, replies_after)]
    found = report(rows, eps=eps) if command == "rlhf" else ""
    told = {"command": command, "rows": len(rows), "seconds": round(seconds, 1), "symptoms": found}
    told |= {"samples": samples, "n": {name: len(x) for name, x in facts.items()}}
    for when, x in (("before", facts), ("after", facts_after)):
        told[when] = {name: mean(numbers) for name, numbers in x.items()}
        told[f"{when}_error"] = {name: error(name, numbers) for name, numbers in x.items()}
    write_json(folder / "summary.json", told | {"plots": [path.name for path in plots]})
    where = "held-out prompts" if held else "the first training prompts"
    parts = [f"# {command}: {len(rows)} {'iterations' if command == 'rlhf' else 'steps'}", _table(facts, facts_after)]
    if command == "rlhf":
        parts += [f"Measured on {where}, one reply each.", f"## Symptoms\n\n{found}"]
    parts += [f"## The same prompts\n\n{_side_by_side(samples)}"] if samples else []
    words = "\n\n".join(part for part in parts if part)
    pictures = "\n\n## Curves\n\n" + "\n".join(f"![{LABELS[path.stem]}](plots/{path.name})" for path in plots)
    (folder / "report.md").write_text(words + pictures + "\n", "utf-8")
    kinds = [name for name in ("model", "actor", "critic") if (folder / name).exists()]
    print(f"\n{words}\n\nin {folder}: {', '.join(name + '/' for name in kinds)}, report.md, plots/, metrics.jsonl")
    if following:
        print(f"next:  python -m ppo_lesson {shlex.join(following)} --output ...")


def plot(rows: list[dict], folder: Path, axis: str) -> list[Path]:
    """A PNG for every column of the rows that has a name here; none where matplotlib is missing."""
    try:
        from matplotlib.figure import Figure  # asked for here only: training works without it
    except ModuleNotFoundError:
        print("no plots: they need matplotlib (pip install matplotlib); metrics.jsonl holds every number")
        return []
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, words in LABELS.items():
        points = [(row[axis], row[name]) for row in rows if name in row]
        if points:
            fig = Figure(figsize=(6, 3), dpi=100, layout="constrained")
            ax = fig.subplots()
            ax.set(xlabel=axis, ylabel=words)
            ax.xaxis.get_major_locator().set_params(integer=True)
            ax.plot(*zip(*points), color="#0072B2", marker="." if len(points) < 3 else None)
            ax.spines[["top", "right"]].set_visible(False)
            paths.append(folder / f"{name}.png")
            fig.savefig(paths[-1])
    return paths


def parts(sums: list[float], counts: list[int]) -> list[float]:
    """Numbers whose mean is sum(sums) / sum(counts), and whose spread gives its standard error (the delta method).

    >>> parts([1, 3], [2, 2]), parts([2, 2], [2, 2])
    ([0.5, 1.5], [1.0, 1.0])
    """
    whole = sum(sums) / sum(counts) if counts else 0.0
    return [whole + (x - whole * n) * len(counts) / sum(counts) for x, n in zip(sums, counts)]


def error(name: str, x: list[float]) -> float | None:
    """The standard error of their mean; None of a single number.

    Of a share it is taken with two right and two wrong beside (Agresti and Coull 1998): six right of six prove little.

    >>> round(error("score", [0.0, 1.0]), 3), round(error("accuracy", [1.0] * 6), 3), error("loss", [1.0])
    (0.5, 0.163, None)
    """
    if name in SHARES:
        share = (sum(x) + 2) / (len(x) + 4)
        return (max(0.0, share * (1 - share)) / len(x)) ** 0.5
    return stdev(x) / len(x) ** 0.5 if len(x) > 1 else None


def _table(before: dict, after: dict) -> str:
    """Before and after, in Markdown that reads well unrendered."""
    if not before:
        return "Nothing was held out, so nothing was measured: give more examples, or --held."
    lines = [
        f"| {'':32} | {'before':>15} | {'after':>15} | {'n':>5} |",
        f"|{'-' * 34}|{'-' * 17}|{'-' * 17}|{'-' * 7}|",
    ]
    for name, x in before.items():
        lines.append(f"| {LABELS[name]:32} | {_number(name, x):>15} | {_number(name, after[name]):>15} | {len(x):>5} |")
    return "\n".join([*lines, "", "± is one standard error of the mean of n."])


def _number(name: str, x: list[float]) -> str:
    about = error(name, x)
    return f"{mean(x):.2f} ± " + ("?" if about is None else f"{about:.2f}")


def _side_by_side(samples: list[dict]) -> str:
    parts = []
    for sample in samples:
        parts.append("> " + sample["prompt"].replace("\n", "\n> "))
        parts += [f"{when}:\n{indent(sample[when] or ' ', '    ', lambda _: True)}" for when in ("before", "after")]
    return "\n\n".join(parts)
