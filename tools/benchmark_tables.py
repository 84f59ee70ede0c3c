"""The table of measurements, from the files that the benchmarks wrote: all in docs/measured.md, four in the README.

    .venv/bin/python tools/benchmark_tables.py           prints it
    .venv/bin/python tools/benchmark_tables.py --write   puts it into both pages, between their two marks

Nothing is measured here. A test compares the pages with what this prints, so that no number there outlives its file.
Left out: what a GPU measures (benchmarks/gpu.py), as long as there is no file of it.
"""

import json
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
START = "<!-- measured: written by tools/benchmark_tables.py --write -->"
END = "<!-- end of what was measured -->"
FOUR = ("64 robots", "CartPole", "Hopper", "RLHF")  # the README's rows begin so
sys.path.insert(0, str(ROOT / "benchmarks"))


def read(name: str) -> dict:
    return json.loads((RESULTS / f"{name}.json").read_text("utf-8"))


def goal(text: str) -> str:
    return text.replace(">=", "≥").replace("<=", "≤")


# ---- one function a file: rows of (what, ours, beside it, goal) ----------------------------------------------------


def maze(stored: dict) -> list[tuple]:
    steps, many = stored["results"]["robot steps, million/s"], stored["results"]["64 trainings, s"]
    return [
        ("steps of maze robots, million a second", f"{steps['median']:.1f}", "", goal(steps["goal"])),
        ("64 robots trained with REINFORCE, s", f"{many['median']:.2f}", "", goal(many["goal"])),
    ]


def ppo_maze(stored: dict) -> list[tuple]:
    seconds, outcome = stored["seconds"].values(), stored["outcome"].values()
    speed = "; ".join(f"{x['median']:.2f}" for x in seconds)
    ends = "; ".join(f"{x['J >= 0.48 at the end']} of {x['seeds']}" for x in outcome)
    goals = goal("; ".join(x["goal"] for x in seconds))
    return [
        ("PPO in the maze: a table; a 64-64 network; 64 tables at once, s", speed, "", goals),
        ("the same, seeds that end at J ≥ 0.48 (0.5 is best): tables; networks", ends, "", "14 of 16"),
    ]


def panel_latency(stored: dict) -> list[tuple]:
    *panels, whole = (x["median_ms"] for x in stored["results"].values())
    drawn = "; ".join(f"{x:.1f}" for x in panels)
    beside = f"the curve, drawn whole {whole:.1f}"
    return [("a slider's new picture: a curve; a maze; 64 curves, ms", drawn, beside, f"≤ {stored['goal_ms']}")]


def classic(stored: dict) -> list[tuple]:
    from classic import TASKS, ratio_to_best

    def numbers(task: str, method: str, what: str) -> list:
        runs = [r for r in stored["runs"] if (r["env"], r["method"]) == (task, method)]
        return [r[what] for r in sorted(runs, key=lambda r: r["seed"]) if r["seed"] in TASKS[task].seeds]

    def row(task: str, what: str, of=statistics.mean, digits=0) -> tuple[str, str, list]:
        found = {method: of(numbers(task, method, what)) for method in TASKS[task].methods}
        others = "; ".join(f"{m} {x:,.{digits}f}" for m, x in found.items() if m != "ours")
        return f"{found['ours']:,.{digits}f}", others, list(found.values())

    def times(method: str, other: str) -> float:
        """How many times as fast, seed by seed, median."""
        pairs = zip(numbers("cartpole", method, "steps/s"), numbers("cartpole", other, "steps/s"), strict=True)
        return statistics.median(a / b for a, b in pairs)

    old, clean, many = (
        times("ours", "ours, Gymnasium"),
        times("ours", "CleanRL settings"),
        times("ours, 16 at once", "ours"),
    )
    speed = (
        f"≥ 2.5 times ours in Gymnasium ({old:.2f}); 1.5 CleanRL's ({clean:.2f}); 16 at once 3 times ours ({many:.2f})"
    )
    runs = [r for r in stored["runs"] if (r["env"], r["method"]) == ("cartpole", "ours")]
    bare, whole = (statistics.median(r[key] for r in runs) for key in ("floor", "seconds"))
    rows = [
        (f"CartPole, 50,000 steps, {len(runs)} seeds: return", *row("cartpole", "return", digits=1)[:2], "≥ 495"),
        ("the same, steps a CPU second", *row("cartpole", "steps/s", statistics.median)[:2], speed),
        ("the same, CPU s", f"{whole:.2f}", f"its bare products of matrices {bare:.2f}", ""),
    ]
    for task, name in (("hopper", "Hopper, 100,000"), ("halfcheetah", "HalfCheetah, 200,000")):
        ours, others, means = row(task, "return")
        best = f"≥ 0.95 of the best ({ratio_to_best(means):.2f})"
        rows.append((f"{name} steps, {len(TASKS[task].seeds)} seeds: return", ours, others, best))
    return rows


def table1_small(stored: dict) -> list[tuple]:
    from table1 import PUBLISHED, RANDOM, SMALL, scores

    runs = {(r["env"], r["method"], r["seed"]): r["last 100"] for r in stored["runs"]}
    raw = {n: {e: [runs[e, n, s] for s in SMALL.seeds] for e in SMALL.environments} for n in SMALL.objectives}
    found = scores(SMALL, raw, {e: runs[e, RANDOM, 0] for e in SMALL.environments})
    means = {name: statistics.mean(x for each in found[name].values() for x in each) for name in raw}
    runs = f"{len(SMALL.environments)} tasks, {len(SMALL.seeds)} seeds, {SMALL.steps:,} steps"
    names = "; ".join(name.split(",")[0] for name in means)
    return [
        (
            f"table 1 of the PPO paper in small ({runs}), score: {names}",
            "; ".join(f"{x:.2f}" for x in means.values()),
            "the paper " + "; ".join(f"{PUBLISHED[name]:.2f}" for name in means),
            "",
        )
    ]


def rlhf_vs_trl(stored: dict) -> list[tuple]:
    from rlhf_vs_trl import OLDER

    lines = stored["lines"]
    ours, again = lines["ours, micro-batch 32"], lines["ours, micro-batch 32, rescored"]
    theirs = {n: f for n, f in lines.items() if n.startswith("TRL 1.12, micro-batch")}
    same, fastest, least = (
        theirs["TRL 1.12, micro-batch 32"]["CPU s"],
        min(f["CPU s"] for f in theirs.values()),
        min(f["MiB"] for f in theirs.values()),
    )

    rows = [
        (
            what,
            f"{f['CPU s']:.2f}",
            beside,
            f"≥ 4 and ≥ 3 times as fast ({same / f['CPU s']:.1f} and {fastest / f['CPU s']:.1f})",
        )
        for what, f, beside in (
            (
                "RLHF on a tiny Qwen2, CPU s an update of 32 replies",
                ours,
                f"TRL 1.12 {same:.2f}; in its fastest micro-batches {fastest:.2f}",
            ),
            ("the same, old log-probs scored again", again, "as above"),
        )
    ]
    older = [lines[name]["CPU s"] for name in OLDER if name in lines]
    if len(older) == 2:
        goal = f"≥ 4 times as fast ({older[0] / older[1]:.1f})"
        rows.append(("the same on kernels for AVX2, CPU s", f"{older[1]:.2f}", f"TRL 1.12 {older[0]:.2f}", goal))
    more = ("the first two, MiB on top of what was there before", f"{ours['MiB']}; {again['MiB']}")
    share = f"≤ {1 / 6:.3f} of TRL's ({ours['MiB'] / least:.3f}; {again['MiB'] / least:.3f})"
    rows.append((*more, f"TRL 1.12 at its least {least:,}", share))
    today = [f for n, f in lines.items() if n.startswith("TRL 1.16 GRPO")]
    if today:
        fast, small = (min(f[key] for f in today) for key in ("CPU s", "MiB"))
        group = lines["groups, ours, micro-batch 32"]
        rows.append(
            (
                "groups without a critic (GRPO), CPU s an update; MiB on top",
                f"{group['CPU s']:.2f}; {group['MiB']}",
                f"TRL 1.16 in its fastest and least {fast:.2f}; {small:,}",
                f"≥ 3 times as fast ({fast / group['CPU s']:.1f}); ≤ 1/3 of TRL's ({group['MiB'] / small:.2f})",
            )
        )
    learns = {
        whose: [f["scores"] for n, f in lines.items() if n.startswith(f"{whose} learns")]
        for whose in ("ours", "TRL 1.12")
    }
    if all(learns.values()):
        first, last = (
            {whose: statistics.mean(statistics.mean(s[part]) for s in x) for whose, x in learns.items()}
            for part in (slice(1), slice(-10, None))
        )
        way = {whose: f"{first[whose]:.2f} → {last[whose]:.2f}" for whose in learns}
        what = f"the same with 64 words, {len(learns['ours'][0])} updates, {len(learns['ours'])} seeds: "
        rows.append((what + "score, first → last ten", way["ours"], f"TRL 1.12 {way['TRL 1.12']}", "≥ TRL's"))
    return rows


# ---- all of them ---------------------------------------------------------------------------------------------------

ROWS = {
    "maze": maze,
    "ppo_maze": ppo_maze,
    "panel_latency": panel_latency,
    "classic": classic,
    "table1_small": table1_small,
    "rlhf_vs_trl": rlhf_vs_trl,
}


def hardware() -> str:
    """A line for each computer that the files name: the versions there, and whose rows, if there are several."""
    found, rows = {}, {}
    for name in ROWS:
        stored = read(name)["hardware"]
        for x in stored if isinstance(stored, list) else [stored]:
            computer = f"{x['cpu']}, {x['cores']} cores, {x['threads']} thread used"
            rows.setdefault(computer, []).append(script(name))
            for package in x.keys() - {"cpu", "cores", "threads"}:
                found.setdefault(computer, {}).setdefault(package, set()).add(x[package])
    lines = []
    for computer, versions in found.items():
        whose = "" if len(found) == 1 else f" ({', '.join(rows[computer])})"
        system, *packages = (" or ".join(sorted(versions[name])) for name in ["os", *sorted(versions.keys() - {"os"})])
        named = ", ".join(map(" ".join, zip(sorted(versions.keys() - {"os"}), packages, strict=True)))
        lines.append(f"{computer}{whose}; {system}, {named}.")
    return "\n".join(lines)


def script(name: str) -> str:
    return "table1.py" if name == "table1_small" else f"{name}.py"


def text(begins: tuple[str, ...] = (), up: str = "") -> str:
    """The table in Markdown: the rows that begin so (none given: all). up: the way from the page to the root."""
    lines = ["| what | ours | beside it | goal (reached) | measured by |", "|--|--|--|--|--|"]
    for name, rows_of in ROWS.items():
        for row in rows_of(read(name)):
            if not begins or row[0].startswith(begins):
                where = f"[{script(name)}]({up}benchmarks/{script(name)})"
                lines.append(f"| {' | '.join(row)} | {where} |".replace("|  |", "| |"))
    return "\n".join(lines)


def pages() -> dict[str, str]:
    """What stands between the two marks of each page."""
    return {"README.md": text(FOUR), "docs/measured.md": f"{text(up='../')}\n\nMeasured on: {hardware()}"}


def main():
    if "--write" not in sys.argv:
        print(pages()["docs/measured.md"])
        return
    for name, table in pages().items():
        page = ROOT / name
        before, _, rest = page.read_text("utf-8").partition(START)
        _, mark, after = rest.partition(END)
        if not mark:
            sys.exit(f"{name} has no lines {START} and {END}, between which the table belongs; put them back")
        page.write_text(f"{before}{START}\n\n{table}\n\n{END}{after}", "utf-8")


if __name__ == "__main__":
    main()
