"""Notebook 16: memory, batches, score and gold, and one setting in the words of several libraries.

    memory_card("7 B", {"all weights": plan, "LoRA": plan}, card=80)     stacked bars against GPUs of 80 GiB
    batch_card(optimizer_steps(64, 1, 32), epochs=1)                     steps of one iteration, and what may clip there
    score_and_gold({"β = 0": looks}, {"β = 0": [other looks]})           held-out score and gold on the way of PPO
    words_card([("batch=64", ["data.train_batch_size=64"])], notes)      ours beside theirs
    key_table(bridge.table(), bridge.command_line.LIBRARIES)             the whole key map, in HTML

The cards are SVG strings for `Panel`. They draw numbers that the planner and the bridge found, and compute none.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence

from matplotlib.ticker import MaxNLocator

from .style import EXACT, INK, MUTED, NAMES, NEGATIVE, NEW, dots, figure, key, stroke
from .svg import WIDTH, cut, svg, text, wrap

GIB = 2**30
PARTS = (  # name, fields of a plan, colour, opacity
    ("weights", ("weights",), NAMES[0], 0.75),
    ("gradients and Adam", ("gradients", "optimizer"), NAMES[1], 0.75),
    ("activations, logits, cache: while it runs", (), MUTED, 0.45),
)

# ---- memory ----------------------------------------------------------------------------------------------------------


def cards(bytes_: float, card: float) -> int:
    """How many GPUs of `card` GiB hold so many bytes at least, if they could be shared out without loss."""
    return max(1, math.ceil(bytes_ / (card * GIB)))


def memory_card(model: str, plans: Mapping[str, object], *, card: float) -> str:
    """A bar for each plan, all on one scale, cut into its parts; dashed lines where a GPU of `card` GiB is full.

    plans: name -> something with bytes called weights, gradients, optimizer and peak (`hardware.memory.Plan`).
    """
    most = max(plan.peak for plan in plans.values()) / GIB
    left, right, scale = 8, WIDTH - 8, (WIDTH - 16) / (1.04 * most)
    parts = [text(left, 20, f"{model}: the most at one time, by the planner", bold=True)]
    for i, (name, plan) in enumerate(plans.items()):
        y, x = 62 + 84 * i, left
        total, count = plan.peak / GIB, cards(plan.peak, card)
        held = "1 GPU" if count == 1 else f"at least {count} GPUs"
        parts.append(text(left, y - 8, f"{name}: {_size(total)}, {held} of {card:g} GiB"))
        known = 0.0
        for _, fields, colour, opacity in PARTS:
            size = sum(getattr(plan, field) for field in fields) / GIB if fields else max(0.0, total - known)
            known += size
            parts.append(
                f'<rect x="{x:.1f}" y="{y}" width="{max(0.8, size * scale):.1f}" height="34" fill="{colour}" '
                f'fill-opacity="{opacity}"/>'
            )
            x += size * scale
        shown = [k for k in range(1, count + 1) if k * card * scale <= right - left]
        for k in shown if len(shown) <= 60 else ():  # more would be a grey wall
            at = left + k * card * scale
            parts.append(
                f'<line x1="{at:.1f}" y1="{y - 3}" x2="{at:.1f}" y2="{y + 37}" stroke="{INK}" stroke-width="1.2" '
                f'stroke-dasharray="3 3"/>'
            )
    y, x = 62 + 84 * len(plans), left
    for name, _, colour, opacity in PARTS:
        parts.append(f'<rect x="{x}" y="{y}" width="14" height="14" fill="{colour}" fill-opacity="{opacity}"/>')
        parts.append(text(x + 20, y + 12, name, size=13))
        x += 46 + 7.6 * len(name)
    return svg([*parts, text(left, y + 36, "dashed: a GPU is full", MUTED, size=13)], y + 46)


def _size(gib: float) -> str:
    return f"{gib:.0f} GiB" if gib >= 100 else f"{gib:.1f} GiB"


# ---- batches ---------------------------------------------------------------------------------------------------------

MOST = 16  # boxes in a row


def batch_card(found: Mapping[str, int] | str, *, epochs: int = 1) -> str:
    """One iteration: a row an epoch, a box an optimizer step, cut into the micro-batches of one GPU.

    found: what `bridge.optimizer_steps` returns, or the words of its refusal.
    """
    height = 100 + 40 * 4
    if isinstance(found, str):
        lines = [text(8, 48 + 20 * i, line, NEGATIVE) for i, line in enumerate(wrap(found, 92, 5))]
        return svg([text(8, 20, "verl refuses this:", NEGATIVE, bold=True), *lines], height)
    an_epoch, passes = found["steps_an_epoch"], found["micro_batches"] or 1
    read = f"on one GPU {found['replies_a_gpu']}, in {_many(passes, 'micro-batch', 'micro-batches')}"
    filled = f" ({found['filled']} empty ones fill the last)" if found["filled"] else ""
    what = "One step: every ratio is 1 when its gradient is taken. Nothing is ever clipped."
    if found["can_clip"]:
        what = f"Grey: the ratio is 1, nothing is clipped. Blue: the other {found['steps'] - 1} steps may clip."
    parts = [
        text(8, 20, f"{found['replies']} replies, {_many(found['steps'], 'optimizer step')}", bold=True),
        text(8, 43, f"each step: {found['replies_a_step']} replies{filled}; {read}"),
        text(8, 66, what, NEW if found["can_clip"] else NEGATIVE),
    ]
    shown = min(an_epoch, MOST)
    width = min(150, (WIDTH - 110) / shown)
    for epoch in range(epochs):
        y = 84 + 40 * epoch
        parts.append(text(8, y + 21, f"epoch {epoch + 1}", INK, size=13))
        for step in range(shown):
            first, x = epoch == step == 0, 76 + step * width
            fill, opacity = (MUTED, 0.35) if first else (NEW, 0.55)
            parts.append(
                f'<rect x="{x:.1f}" y="{y}" width="{width - 4:.1f}" height="32" rx="4" fill="{fill}" '
                f'fill-opacity="{opacity}" stroke="{INK}" stroke-width="1"/>'
            )
            parts += [
                f'<line x1="{x + (width - 4) * k / passes:.1f}" y1="{y}" x2="{x + (width - 4) * k / passes:.1f}" '
                f'y2="{y + 32}" stroke="white" stroke-width="1.2"/>'
                for k in (range(1, passes) if passes <= width / 5 else ())  # more would be a white wall
            ]
        if an_epoch > shown:
            parts.append(text(WIDTH - 30, y + 21, "…", bold=True))
    return svg(parts, height)


def _many(count: int, one: str, more: str = "") -> str:
    return f"{count} {one if count == 1 else more or one + 's'}"


# ---- score and gold --------------------------------------------------------------------------------------------------


def score_and_gold(runs: Mapping[str, Sequence[dict]], others: Mapping[str, Sequence[Sequence[dict]]]):
    """Held-out score and gold on the way of PPO, a plot for each price of KL: the figure.

    runs: name -> the looks of one run (`course.desk.sweep.look`). others: the same of more seeds, in thin lines.
    """
    fig, axes = figure(len(runs), width=9, height=3.3, xlabel="iteration", sharey=True)
    for ax, (name, looks) in zip(axes, runs.items()):
        for number, meaning, label in (("score", NEW, "score: reward model"), ("gold", EXACT, "gold: true worth")):
            for k, some in enumerate(others.get(name, ())):
                said = "" if k or number == "score" else "thin: another seed"
                ax.plot(*_way(some, number), **stroke(meaning, linewidth=1, alpha=0.5), label=said)
            ax.plot(*_way(looks, number), **stroke(meaning) | dots(meaning, linestyle="-"), label=label)
        ax.set_title(name)
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes[0].set_ylabel("points, held-out customers")
    key(axes[-1], loc="lower left")
    return fig


def _way(looks: Sequence[dict], number: str) -> tuple[list, list]:
    return [look["iteration"] for look in looks], [look["held"][number] for look in looks]


# ---- words -----------------------------------------------------------------------------------------------------------


def words_card(
    pairs: Sequence[tuple[str, Sequence[str]]],
    notes: Sequence[str] = (),
    *,
    left: str = "ours",
    right: str = "theirs",
    height: float = 0,
) -> str:
    """Settings in two columns: (ours, their words for it); an empty list is shown as a dash. notes: lines below.

    height: at least so high, so that a panel does not jump.
    """
    y, middle = 48, 222
    parts = [text(8, 20, left, bold=True), text(middle, 20, right, bold=True)]
    for ours, theirs in pairs:
        parts.append(text(8, y, cut(ours, 27), NEW, size=13, mono=True))
        for word in theirs or ["(no word for it)"]:
            parts.append(text(middle, y, cut(word, 66), INK if theirs else MUTED, size=13, mono=True))
            y += 19
        y += 3
    rows = [row for note in notes for row in _indented(wrap(note, 100, 3))]
    if rows:
        y += 8
        parts.append(f'<line x1="8" y1="{y - 14}" x2="{WIDTH - 8}" y2="{y - 14}" stroke="#D5DAE2"/>')
    parts += [text(8, y + 4 + 18 * i, row, size=13) for i, row in enumerate(rows)]
    return svg(parts, max(height, y + 18 * len(rows) + 6))


def _indented(rows: list[str]) -> list[str]:
    return [rows[0], *("    " + row for row in rows[1:])]


def key_table(rows: Sequence[Mapping[str, str]], columns: Sequence[str]) -> str:
    """The key map as an HTML table: our field, the key of every library with its default, what it means, its trap.

    rows: as `bridge.table()` makes them. columns: names of the libraries in it.
    """

    def cell(key: str, default: str) -> str:
        if key == "-":
            return "<td>–</td>"
        told = "" if default == "-" else f"<br><small>default {html.escape(default)}</small>"
        return f"<td><code>{_breakable(key)}</code>{told}</td>"

    look = "text-align:left;vertical-align:top;overflow-wrap:anywhere"
    names, widths = ("ours", *columns, "meaning, and trap"), (12, *[50 // len(columns)] * len(columns), 38)
    head = "".join(f'<th style="{look};width:{width}%">{html.escape(name)}</th>' for name, width in zip(names, widths))
    lines = []
    for row in rows:
        keys = [cell(row["ours"], row["default"])] + [cell(row[name], row[f"{name} default"]) for name in columns]
        trap = f"<br><b>Trap:</b> {html.escape(row['trap'])}" if row["trap"] else ""
        lines.append(f"<tr>{''.join(keys)}<td>{html.escape(row['meaning'])}{trap}</td></tr>")
    body = "".join(lines).replace("<td>", f'<td style="{look}">')
    table = f'<table style="width:100%;table-layout:fixed"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return f'<div tabindex="0" style="max-height:520px;overflow:auto;font-size:13px">{table}</div>'


def _breakable(key: str) -> str:
    return html.escape(key).replace(".", ".<wbr>").replace("_", "_<wbr>")
