"""What a run was worth: a summary to read and one for programs, and every curve as a PNG."""

from pathlib import Path
from statistics import mean, stdev

from ..columns import COLUMNS
from ..diagnose import report
from .run_folder import write_json

UNSEEN = ("return_mean", "policy_loss", "grad_norm", "ratio_error", "lr", "seconds")  # columns without a plot
LABELS = {name: column.label(tokens=True) for name, column in COLUMNS.items() if name not in UNSEEN}
LABELS["kl_ref"] = "KL to the start (nats a reply)"  # "reference" is the trainer's word, not that of its options


def finish(command, folder: Path, rows, before, after, seconds, following: str, *, eps=0.2, held=1) -> None:
    """Write report.md, summary.json and plots/, and print the first.

    before, after: ({column: numbers}, [(prompt, reply), ...]). Of several numbers the mean is told, give or take its
    standard error.
    """
    (facts, replies), (facts_after, replies_after) = before, after
    plots = plot(rows, folder / "plots", "step" if "step" in rows[0] else "iteration")
    samples = [
        {"prompt": prompt, "before": text, "after": then} for (prompt, text), (_, then) in zip(replies, replies_after)
    ]
    found = report(rows, eps=eps) if command == "rlhf" else ""
    told = {"command": command, "rows": len(rows), "seconds": round(seconds, 1), "symptoms": found}
    told |= {"before": _means(facts), "after": _means(facts_after), "samples": samples}
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
        print(f"next:  python -m ppo_lesson {following} --output ...")


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


def _means(facts: dict[str, list[float]]) -> dict[str, float]:
    return {name: mean(x) for name, x in facts.items()}


def _table(before: dict, after: dict) -> str:
    """Before and after, in Markdown that reads well unrendered."""
    if not before:
        return "Nothing was held out, so nothing was measured: give more examples, or --held."
    lines = [f"| {'':32} | {'before':>15} | {'after':>15} |", f"|{'-' * 34}|{'-' * 17}|{'-' * 17}|"]
    lines += [f"| {LABELS[name]:32} | {_number(x):>15} | {_number(after[name]):>15} |" for name, x in before.items()]
    return "\n".join(lines)


def _number(x: list[float]) -> str:
    return f"{mean(x):.2f} ± {stdev(x) / len(x) ** 0.5:.2f}" if len(x) > 1 else f"{x[0]:.3f}"


def _side_by_side(samples: list[dict]) -> str:
    parts = []
    for sample in samples:
        parts.append("> " + sample["prompt"].replace("\n", "\n> "))
        parts += [f"{when}:\n{_indented(sample[when])}" for when in ("before", "after")]
    return "\n\n".join(parts)


def _indented(text: str) -> str:
    return "\n".join("    " + line for line in text.splitlines() or [""])
