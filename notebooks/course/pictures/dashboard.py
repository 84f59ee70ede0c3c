"""The dashboard: six numbers of a run on one page, each with the band in which a healthy run stays.

    fig, update = dashboard({"healthy": rows, "patient": other_rows}, healthy={"entropy": (0.05, 0.69)})
    show(fig, dashboard_alt({"healthy": rows, "patient": other_rows}))

A history is what a trainer yielded, list(ppo(...)): one dict a row, numbers or tensors (seeds,). A list of histories
is a run of several seeds too. One seed is a line; many are their median and the band from the 10th to the 90th
percentile. A number that a row does not have (no episode ended) leaves a gap. Bands are guides, not laws: what to
expect of return and entropy depends on the task, so the caller names them. Left out: thresholds that raise an alarm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.ticker import MaxNLocator

from ppo_lesson.columns import COLUMNS

from .maze_figures import array
from .style import INK, NAMES, NEGATIVE, NEW, POSITIVE, figure, number, stroke

LOOKS = (NEW, NEGATIVE, NAMES[1])  # of the first, second and third run
Band = tuple[float | None, float | None]


@dataclass(frozen=True)
class Dial:
    """One small plot. name: of the number in the rows. healthy: (low, high), None for no bound, or None for no band.

    limits: (low, high) of the axis, None where the data decide. scale: "linear", "log" (limits[0] > 0 is its floor), or
    "symlog" (0 and very small numbers on one axis with large ones; its linear part ends at limits[1] / 1e6).
    """

    name: str
    title: str
    healthy: Band | None = None
    limits: Band = (None, None)
    scale: str = "linear"


def dial(name: str, limits: Band = (None, None), scale: str = "linear") -> Dial:
    """The plot of a column, with the title and the healthy band that it has everywhere."""
    return Dial(name, COLUMNS[name].title, COLUMNS[name].healthy, limits, scale)


DIALS = (
    dial("return_mean"),
    dial("approx_kl", (1e-5, None), "log"),
    dial("clip_fraction", (0.0, None)),
    Dial("entropy", COLUMNS["entropy"].label()),
    dial("explained_variance", (-1.0, 1.05)),
    dial("ratio_error", (0.0, 10.0), "symlog"),
)


def curves(history, name: str, x: str = "env_steps") -> tuple[np.ndarray, np.ndarray]:
    """One number of a run: x (n,), and values (seeds, n), NaN where a row does not have it.

    history: a list of rows, or a list of such lists, one a seed. ValueError if no row at all has the number.
    """
    if isinstance(history[0], dict):
        history = [history]
    if len({len(rows) for rows in history}) != 1:
        raise ValueError(f"the seeds of one run must have equally many rows; got {[len(rows) for rows in history]}")
    if not any(name in row for rows in history for row in rows):
        raise ValueError(f"no row has {name!r}; the first has {', '.join(history[0][0])}")
    seeds = max(array(row[name]).size for rows in history for row in rows if name in row)
    missing = np.full(seeds, np.nan)
    values = [np.stack([np.broadcast_to(array(row.get(name, missing)), seeds) for row in rows], -1) for rows in history]
    at = np.array([array(row[x]).flat[0] for row in history[0]])
    return at, np.concatenate(values)


def dashboard(
    histories: dict,
    dials=DIALS,
    *,
    healthy: dict[str, Band] | None = None,
    limits: dict[str, Band] | None = None,
    x: str = "env_steps",
    xlabel: str = "steps in the environment",
    columns: int = 3,
    meanings=LOOKS,
    width: float = 9.0,
    height: float = 4.6,
):
    """A figure of all dials, and a function that shows other histories in it: (fig, update).

    histories: {"name of a run": history}, at most as many as `meanings`. healthy, limits: instead of a dial's own.
    x: the number on the horizontal axis. update(histories) keeps the names' order; its axes follow the data.
    """
    healthy, limits, names = healthy or {}, limits or {}, list(histories)
    if len(names) > len(meanings):
        raise ValueError(f"a dashboard shows at most {len(meanings)} runs; got {len(names)}")
    rows = -(-len(dials) // columns)
    fig, axes = figure(columns, rows, width=width, height=height, sharex=True)
    axes = np.atleast_1d(axes).flatten()
    parts = []
    for ax, dial in zip(axes, dials):
        band = healthy.get(dial.name, dial.healthy)
        ax.set_title(dial.title, fontsize=11)
        tint = band and ax.axhspan(0, 1, color=POSITIVE, alpha=0.13, linewidth=0, zorder=0.5)
        used = meanings[: len(names)]
        areas = [ax.fill([], [], color=c, alpha=0.2, linewidth=0, animated=True, zorder=2)[0] for c in used]
        lines = [ax.plot([], [], **stroke(c), animated=True, zorder=2.2)[0] for c in used]
        parts.append((ax, dial, band, tint, list(zip(areas, lines))))
    for ax in axes[len(dials) :]:
        ax.set_axis_off()
    for ax in axes[max(0, len(dials) - columns) : len(dials)]:
        ax.set_xlabel(xlabel)
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        ax.xaxis.set_major_formatter(lambda at, _: f"{at / 1000:g}k" if at >= 10_000 else f"{at:g}")
    handles = [line for _, line in parts[0][-1]] if len(names) > 1 else []
    tints = [tint for *_, tint, _ in parts if tint]
    words = (names if len(names) > 1 else []) + (["healthy band"] if tints else [])
    look = {"ncols": len(words), "frameon": False, "fontsize": 10, "labelcolor": INK}
    if words:
        fig.legend([*handles, *tints[:1]], words, loc="outside upper center", **look)

    def update(histories):
        for ax, dial, band, tint, lines in parts:
            seen = []
            for history, (area, line) in zip(histories.values(), lines):
                at, values = curves(history, dial.name, x)
                if dial.scale == "log":
                    values = values.clip(dial.limits[0])
                there = np.isfinite(values).any(0)
                low, middle, high = _percentiles(values[:, there])
                area.set_xy(np.stack([np.r_[at[there], at[there][::-1]], np.r_[low, high[::-1]]], 1))
                area.set_visible(len(values) > 1)
                line.set_data(at[there], middle)
                seen.append(np.concatenate([low, high]))
                ax.set_xlim(0, at[-1])
            low, high = _axis(ax, dial, band, limits.get(dial.name, dial.limits), np.concatenate(seen))
            if tint:
                bottom, top = (edge if end is None else end for end, edge in zip(band, (low, high)))
                tint.set_y(bottom)
                tint.set_height(top - bottom)
        return fig

    return update(histories), update


def dashboard_alt(histories: dict, dials=DIALS, *, x: str = "env_steps") -> str:
    """What a dashboard shows, in words: the last known number of each dial, for each run (the median of its seeds)."""
    parts = []
    for name, history in histories.items():
        ends = []
        for dial in dials:
            middle = _percentiles(curves(history, dial.name, x)[1])[1]
            known = middle[np.isfinite(middle)]
            ends.append(f"{dial.title} {number(known[-1]) if len(known) else 'unknown'}")
        parts.append(f"{name}: {', '.join(ends)}")
    return f"Dashboard of {len(dials)} numbers over the steps, at the end: {'; '.join(parts)}."


def _percentiles(values: np.ndarray) -> np.ndarray:
    """10th, 50th and 90th percentile over the seeds that have the number, (3, n); NaN where none has."""
    result, known = np.full((3, values.shape[1]), np.nan), np.isfinite(values)
    for columns, of in ((known.all(0), np.percentile), (known.any(0) & ~known.all(0), np.nanpercentile)):  # slow: few
        if columns.any():
            result[:, columns] = of(np.where(known, values, np.nan)[:, columns], [10, 50, 90], 0)
    return result


def _axis(ax, dial: Dial, band: Band | None, limits: Band, values: np.ndarray) -> tuple[float, float]:
    """Scale and limits of one plot, wide enough for the data and for the edges of the healthy band that lie near."""
    values = values[np.isfinite(values)]
    ends = [end for end in band or () if end is not None]
    low, high = min([*values, *ends], default=0.0), max([*values, *ends], default=1.0)
    if dial.scale == "log":
        low, high = limits[0], max(high * 2, low * 10)
        ax.set_yscale("log")
    elif dial.scale == "symlog":
        ax.set_yscale("symlog", linthresh=limits[1] * 1e-6, linscale=0.5)
        ax.set_yticks([0, *(limits[1] * 10.0**k for k in (-6, -4, -2, 0))])
    else:
        room = 0.06 * (high - low or 1.0)
        low, high = low - room, high + room
    low, high = (end if end is not None else edge for end, edge in zip(limits, (low, high)))
    if dial.scale == "symlog":
        low = -0.2 * limits[1] * 1e-6  # a line at 0 must be seen
    elif limits[0] == 0:
        low = -0.03 * high
    ax.set_ylim(low, high)
    ax.minorticks_off()
    return low, high
