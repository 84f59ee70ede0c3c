"""Notebooks 14 and 15: who does what with which tensor, a run with its texts, and a live dashboard.

    data_flow(3, B=64, P=21, T=33)                        an SVG string for `Panel`: the stages of one iteration
    run_card(runs, at=40, prompts=prompts, ...)           curves of some runs, and what they wrote at that point

    with live_board(rows) as redraw:                      a dashboard, in place
        for row in interruptible(run):                    Kernel > Interrupt stops between two rows
            rows.append(row)
            redraw()

They draw what `rlhf` yields and what data/sweep.json holds, and never train. Chinese stands in SVG only: the browser's
fonts draw it. Left out: threads; while the kernel trains, other cells wait.
"""

from __future__ import annotations

import signal
import threading
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from IPython.display import display

from ppo_lesson.columns import COLUMNS

from . import style
from .dashboard import DIALS, Dial, dashboard, dashboard_alt
from .panel import Panel
from .replies import verdict
from .style import EXACT, INK, MUTED, NEW, REFERENCE, number, stroke
from .svg import WIDTH, cut, svg, text, wrap

# ---- the data flow ---------------------------------------------------------------------------------------------------

_READ = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
STAGES, BOXES, ARROWS = (_READ[name] for name in ("stages", "boxes", "arrows"))


def data_flow(stage: int, *, B: int, P: int, T: int) -> str:
    """One iteration, `stage` 1 to 5 of it in full colours. B replies, P prompt tokens, T reply tokens at most."""
    parts = []
    for at, *corners in ARROWS:
        parts.append(_arrow(corners, at == stage))
    if stage == 5:  # what the gradients reach
        parts += [_arrow([(104, 360), (3, 360), (3, 122), (8, 122)], True, NEW)]
        parts += [_arrow([(680, 360), (757, 360), (757, 82), (477, 82), (477, 100)], True, NEW)]
    for at, x, y, width, height, name, shape, meaning in BOXES:
        colour = getattr(style, meaning)
        now = at == stage or (stage == 5 and colour == NEW)
        fill, edge = (colour, 0.30 if now else 0.10), (INK, 1.8) if now else (MUTED, 0.8)
        parts.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" fill="{fill[0]}" fill-opacity="{fill[1]}" '
            f'stroke="{edge[0]}" stroke-width="{edge[1]}"/>'
        )
        parts.append(text(x + width / 2, y + height / 2 - 3, name, INK if now else MUTED, "middle", bold=now))
        parts.append(text(x + width / 2, y + height / 2 + 14, shape.format(B=B, P=P, T=T), INK, "middle", 12.5))
    words, code = STAGES[stage - 1]
    parts.append(text(8, 412, f"{stage}. {words}", INK, bold=True))
    parts.append(text(8, 434, code, size=13, mono=True))
    return svg(parts, 446)


# ---- a run -----------------------------------------------------------------------------------------------------------

CURVES = {"score": NEW, "gold": EXACT, "kl_ref": REFERENCE}


def run_card(
    runs: Iterable[dict], others: Iterable[dict] = (), *, at: int, prompts: Sequence[str], limits: dict, lines: int = 2
) -> str:
    """Three curves of some runs (seeds of one setting) on held-out prompts, and what the first wrote at iteration `at`.

    runs, others: as in data/sweep.json; others stay grey. prompts: whose replies are shown. limits: {"score", "gold",
    "kl_ref": (low, high), "iteration": last}. A run that has no look at `at` shows its last one before.
    """
    runs, others, parts, last = list(runs), list(others), [], limits["iteration"]
    for i, (name, colour) in enumerate(CURVES.items()):
        series, grey = ([_looks(run, name, last) for run in some] for some in (runs, others))
        look = (colour, limits[name], last, at)
        parts.append(_seed_lines(i * (WIDTH / 3), COLUMNS[name].title, series, grey, *look))
    shown, y = look_at(runs[0], at)["samples"], 196
    for prompt in prompts:
        reply, score, gold = shown[prompt]
        parts.append(text(4, y, cut(prompt, 80), MUTED, size=13))
        parts += [text(18, y + 20 + 18 * i, row) for i, row in enumerate(wrap(reply or "(nothing)", 88, lines))]
        parts.append(text(WIDTH - 6, y, verdict(score, gold), INK, "end", 12.5))
        y += 18 * lines + 28
    return svg(parts, y - 6)


def _looks(run: dict, name: str, last: int) -> tuple[list, list]:
    shown = [look for look in run["looks"] if look["iteration"] <= last]
    return [look["iteration"] for look in shown], [look["held"][name] for look in shown]


def look_at(run: dict, iteration: int) -> dict:
    """The run's last look at or before `iteration`."""
    return [look for look in run["looks"] if look["iteration"] <= iteration][-1]


def _seed_lines(left: float, title: str, series, grey, colour: str, limits: tuple, last: int, at: int) -> str:
    """A small plot, 240 x 160: lines, a mark at `at` on each, and their mean there as a number in the title."""
    if not series:
        return text(left + 10, 16, f"{title}: none", MUTED, size=13)
    low, high = limits
    x0, x1, y0, y1 = left + 34, left + WIDTH / 3 - 10, 142, 28

    def place(x, y):
        y = min(high, max(low, y))
        return f"{x0 + (x1 - x0) * x / last:.1f},{y0 + (y1 - y0) * (y - low) / (high - low):.1f}"

    def line(xs, ys, look):
        return f'<polyline points="{" ".join(place(x, y) for x, y in zip(xs, ys))}" fill="none" {look}/>'

    parts = [line(xs, ys, 'stroke="#D5DAE2" stroke-width="1"') for xs, ys in grey]
    here = [[y for x, y in zip(xs, ys) if x <= at][-1] for xs, ys in series]
    for (xs, ys), y in zip(series, here):
        parts.append(line(xs, ys, f'stroke="{colour}" stroke-width="1.6"'))
        x, y = place(min(at, xs[-1]), y).split(",")
        parts.append(f'<circle cx="{x}" cy="{y}" r="4" fill="{colour}" stroke="white"/>')
    for tick in (low, (low + high) / 2, high):
        y = float(place(0, tick).split(",")[1])
        parts.append(f'<line x1="{x0}" y1="{y}" x2="{x1}" y2="{y}" stroke="#E7E9ED"/>')
        parts.append(text(x0 - 5, y + 4, f"{tick:g}".replace("-", "−"), INK, "end", 11))
    for tick in (0, last):
        parts.append(text(float(place(tick, low).split(",")[0]), y0 + 17, str(tick), INK, "middle", 11))
    parts.append(text((x0 + x1) / 2, y0 + 17, "iteration", INK, "middle", 11))
    parts.append(text(x0 - 24, 16, f"{title} {number(sum(here) / len(here))}", colour, bold=True, size=13))
    return "".join(parts)


# ---- live ------------------------------------------------------------------------------------------------------------

LIVE = (  # the story's own words for what it has just explained, then the dials of every run
    Dial("J", "J = reward − β · KL"),
    Dial("score", "reward: the score"),
    Dial("kl_ref", "KL to home, nats", None, (0.0, None)),
    Dial("beta", "β", None, (0.0, 0.2)),
    *DIALS[1:3],  # KL of an update, clip fraction
    Dial("gold", "gold (nobody sees it)"),
    DIALS[4],  # explained variance
)
PROMISED = [dial.name for dial in LIVE[:4]]  # four curves that a tutorial sketches


def live_figure(rows: Sequence[dict]):
    """The dashboard of one RLHF run, four numbers with a tutorial's sketch behind them: (fig, update)."""
    look = {"x": "iteration", "xlabel": "iteration", "columns": 4, "width": 9.6, "height": 4.4, "meanings": (NEW,)}
    fig, update = dashboard({"run": _with_objective(rows)}, LIVE, **look)
    fig.axes[0].get_gridspec().set_width_ratios([1, 1, 1.8, 0.8])  # KL, and gold below it, are the story
    fig.axes[6].lines[0].set_color(EXACT)
    for ax, name in zip(fig.axes, PROMISED):
        path = ([0, 1], [0.5, 0.5]) if name == "beta" else ([0, 0.25, 0.6, 1], [0.04, 0.5, 0.8, 0.93])
        look = stroke(MUTED, linestyle="-", linewidth=4, alpha=0.3, zorder=1)
        (sketch,) = ax.plot(*path, transform=ax.transAxes, **look)
    band = fig.legends[0].legend_handles
    fig.legends[0].remove()
    look = {"loc": "outside upper center", "ncols": 2, "frameon": False, "fontsize": 10, "labelcolor": INK}
    fig.legend([sketch, *band], ["a tutorial's sketch, its shape only", "healthy band"], **look)
    return fig, lambda rows: update({"run": _with_objective(rows)})


def live_alt(rows: Sequence[dict]) -> str:
    """The dashboard's last numbers in words."""
    return f"After {len(rows)} iterations. " + dashboard_alt({"run": _with_objective(rows)}, LIVE, x="iteration")


def _with_objective(rows: Sequence[dict]) -> list[dict]:
    """J = score - beta * KL beside what the rows have; iterations are counted from 1."""
    new = ({"J": row["score"] - row["beta"] * row["kl_ref"], "iteration": row["iteration"] + 1} for row in rows)
    return [row | more for row, more in zip(rows, new)]


@contextmanager
def live_board(rows: list[dict]):
    """Show a dashboard of `rows` (at least one) and give the function that draws it again when there are more."""
    _, update = live_figure(rows)
    panel = Panel({}, lambda: update(rows), lambda: live_alt(rows))
    shown = display(panel, display_id=True)
    try:
        yield panel.set
    finally:
        panel.set()
        if shown is not None:  # the picture that a saved notebook keeps
            shown.update(panel)


def interruptible(run: Iterator) -> Iterator:
    """The rows of a generator. An interrupt waits until the next row is there, then ends the loop, not the generator.

    So `run` can go on later. Without this, KeyboardInterrupt would rise inside of it and end it for ever.
    """
    asked = False

    def later(_signal, _frame):
        nonlocal asked
        if asked:  # the second time is meant
            raise KeyboardInterrupt
        asked = True

    main = threading.current_thread() is threading.main_thread()  # elsewhere nobody can be interrupted
    before = signal.signal(signal.SIGINT, later) if main else None
    try:
        for row in run:
            yield row
            if asked:
                print("Interrupted between two rows. Run this cell again to go on.")
                return
    finally:
        if main:
            signal.signal(signal.SIGINT, before)


# ---- pieces ----------------------------------------------------------------------------------------------------------


def _arrow(corners: Sequence[tuple[int, int]], now: bool, colour: str = INK) -> str:
    """A line through the corners with a head at its end."""
    (xa, ya), (x, y) = corners[-2:]
    dx, dy = 6 * (x > xa) - 6 * (x < xa), 6 * (y > ya) - 6 * (y < ya)  # one of them is 0
    wide, high = (4 if dx == 0 else 0), (4 if dy == 0 else 0)
    head = f"{x},{y} {x - dx - wide},{y - dy - high} {x - dx + wide},{y - dy + high}"
    paint, width = (colour, 2.0) if now else ("#C3C8D0", 1.2)
    path = " ".join(f"{x},{y}" for x, y in corners)
    line = f'<polyline points="{path}" fill="none" stroke="{paint}" stroke-width="{width}"/>'
    return f'{line}<polygon points="{head}" fill="{paint}"/>'
