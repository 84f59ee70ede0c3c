"""What `ppo-lesson explain` reads and answers, as a page: forms of logs, metrics of each library, the eight questions.

    .venv/bin/python tools/explain.py           prints the page
    .venv/bin/python tools/explain.py --write   writes it into docs/explain.md

Made from ppo_lesson/bridge/logs.toml and ppo_lesson/commands/explain.toml; a test compares.
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "explain.md"
sys.path[:0] = [str(ROOT)]  # whatever is installed
HEAD = """# What the log of a run shows: `explain`

`python -m ppo_lesson explain LOG` reads the log of a run, whoever wrote it. It knows a log by its metrics, never by
its name, and prints the symptoms that it finds, the rules that it could not ask for want of numbers, and the answer to
each of eight questions, with its reason and the cell of a notebook that shows it. `--eps` says the clip range of the
run, if it was not 0.2.

Read are our `metrics.jsonl` (or the folder of the run), verl's console and file logger, TRL's trainer_state.json (in
its newest `checkpoint-N`) and console, OpenRLHF's console, and CSV as wandb exports it, of one run; with semicolons or
tabs, too. Colours, ranks, times, Ray's `(TaskRunner pid=7)`, progress bars and other lines are passed over; a half
written last line is left out, and said. Where steps come again in a file (another run, or a resume), the last time
counts; that is said as well. Unpack a `.gz` first.

Six runs of our own trainer, one healthy and five sick, stand in `tests/bridge/logs` in each library's words. The rules
name each disease there, where the library logs what betrays it, and say nothing about the healthy ones. What changed
since the version that is named here may be missed: what was read stands in the second line of the answer. Made from
tables by `python tools/explain.py --write`.
"""


def page() -> str:
    """The whole page: the questions, then each library's metrics."""
    from ppo_lesson.bridge.logs import WRITERS
    from ppo_lesson.commands.explain import QUESTIONS

    def table(columns, rows):
        lines = [
            " | ".join(cell.replace("|", "\\|") for cell in row) for row in (columns, ["--"] * len(columns), *rows)
        ]
        return "\n".join(f"| {line} |" for line in lines) + "\n"

    cells = {}
    for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")):
        title = "".join(json.loads(path.read_text("utf-8"))["cells"][0]["source"]).splitlines()[0]
        cells[title.partition("· ")[2]] = f"../notebooks/{path.name}"

    def shown(place):
        title, _, cell = place.rpartition(": ")
        return f"[{title}]({cells[title]}), cell `{cell}`"

    parts = [HEAD, "## The eight questions\n"]
    parts.append(
        table(
            ("", "shown in", "without the numbers it needs"),
            [(f"**{q['title']}**", "; ".join(map(shown, q["cells"])), q["missing"]) for q in QUESTIONS],
        )
    )
    for library, of in WRITERS.items():
        if library != "ours":
            parts.append(f"## {of['title']}\n")
            older = {new: old for old, new in of.get("older", {}).items()}
            rows = [
                (f"`{name}`" + (f", once `{older[name]}`" if name in older else ""), f"`{ours}`")
                for name, ours in of["columns"].items()
            ]
            parts.append(table(("its metric", "our column, as an equation for the metric"), rows))
    return "\n".join(parts)


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        PAGE.write_text(page(), "utf-8")
    else:
        print(page(), end="")
