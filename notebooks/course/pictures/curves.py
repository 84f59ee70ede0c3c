"""Pictures of numbers that come with a spread: seeds, sampled gradients, probabilities, variances.

Each function draws once and returns a function that takes new data, for use in a `Panel`:

    update = fan(ax, iterations, curves)      # curves: (seeds, iterations)
    update(other_curves)

All artists are animated, and the limits of the axes stay: set them for the whole range of the slider first.
"""

from __future__ import annotations

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.patheffects import Normal, Stroke

from ppo_lesson.maze import ACTIONS

from .maze_figures import array
from .style import ESTIMATE, EXACT, INK, NEW, dots, number, stroke


def fan(ax, x, curves, *, label: str = "", meaning: str = NEW):
    """Many seeds: each one faint, the median bold, the band from the 10th to the 90th percentile tinted.

    x: (n,). curves: (seeds, n). Returns update(curves). ValueError for other shapes.
    """
    x = array(x)
    lines = ax.add_collection(LineCollection([], colors=meaning, linewidths=0.6, alpha=0.35, animated=True, zorder=2))
    (band,) = ax.fill([], [], color=meaning, alpha=0.15, linewidth=0, animated=True, zorder=2.1)
    (median,) = ax.plot([], [], **stroke(meaning, linewidth=2.6), label=label or None, animated=True, zorder=2.2)
    median.set_path_effects([Stroke(linewidth=5, foreground="white"), Normal()])

    def update(curves):
        curves = array(curves)
        if curves.ndim != 2 or curves.shape[1:] != x.shape:
            raise ValueError(f"curves must have shape (seeds, {len(x)}), one row a seed; got {curves.shape}")
        low, middle, high = np.percentile(curves, [10, 50, 90], axis=0)
        lines.set_segments([np.stack([x, curve], axis=1) for curve in curves])
        band.set_xy(np.stack([np.r_[x, x[::-1]], np.r_[low, high[::-1]]], axis=1))
        median.set_data(x, middle)
        return curves

    curves = update(curves)
    ax.update_datalim([(x.min(), curves.min()), (x.max(), curves.max())])
    ax.autoscale_view()
    return update


def cloud(ax, points, exact, *, label: str = "sampled", exact_label: str = "exact", meaning: str = ESTIMATE):
    """Sampled vectors as dots around the exact vector, in two dimensions, and the arrow of their mean.

    points: (n, 2), exact: (2,). Returns update(points, exact=None). ValueError for other shapes.
    """
    points, exact = array(points), array(exact)
    if points.shape[1:] != (2,) or exact.shape != (2,):
        raise ValueError(f"points must have shape (n, 2) and exact (2,); got {points.shape} and {exact.shape}")
    faint = dots(meaning, alpha=0.55, markersize=7, markeredgewidth=0)
    (samples,) = ax.plot(*points.T, **faint, label=label, animated=True)

    def arrow(end, colour, width, label):
        look = {"arrowstyle": "-|>", "mutation_scale": 8 * width**0.6 + 4, "shrinkA": 0, "shrinkB": 0}
        look |= {"color": colour, "linewidth": width}
        ax.plot([], [], color=colour, linewidth=width, label=label)  # for the legend
        style = {"arrowprops": look, "annotation_clip": False, "animated": True, "zorder": 4 - width / 5}
        return ax.annotate("", end, (0, 0), **style)

    mean = arrow(points.mean(0), meaning, 5, f"mean of the {label}")  # broad, with the exact one thin on top
    truth = arrow(exact, EXACT, 2, exact_label)

    def update(points, exact=None):
        points = array(points)
        samples.set_data(*points.T)
        mean.xy = points.mean(0)
        truth.xy = truth.xy if exact is None else array(exact)

    return update


def histogram(ax, edges, *, gap: float = 0.0, **look):
    """Columns over bins, all of them one artist: a histogram that moves. edges: (n + 1,), from left to right.

    gap: left free between two of them. look: of a matplotlib patch. Returns update(heights), (n,); below 0 they hang.
    """
    left, right = np.asarray(edges)[:-1] + gap / 2, np.asarray(edges)[1:] - gap / 2
    codes = [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY] * len(left)

    def shape(heights):
        x = np.stack([left, left, right, right, left], 1)
        y = np.stack([0 * heights, heights, heights, 0 * heights, 0 * heights], 1)
        return Path(np.stack([x, y], -1).reshape(-1, 2), codes)

    patch = ax.add_patch(PathPatch(shape(0 * left), linewidth=0, animated=True, **look))
    return lambda heights: patch.set_path(shape(array(heights)))


def bars(ax, names, values, *, colours=None, log: bool = False, fmt=number):
    """Named horizontal bars with their numbers, the first on top. log: a logarithmic axis. Returns update(values)."""
    values, y = array(values), np.arange(len(names))
    if log:
        low, high = np.log10([values.min(), values.max()])
        ax.set(xscale="log", xlim=(10 ** np.floor(low - 0.3), 10 ** np.ceil(high + 0.5)))
    else:
        ax.set_xlim(min(0, values.min() * 1.2), max(0, values.max() * 1.2))
    ax.set_yticks(y, names)
    ax.set_ylim(len(names) - 0.45, -0.55)
    ax.grid(False, axis="y")
    boxes = ax.barh(y, values, height=0.62, color=colours or NEW, animated=True, zorder=2)
    style = {"textcoords": "offset points", "va": "center", "color": INK, "animated": True, "zorder": 4}
    texts = [ax.annotate("", xy=(0, i), xytext=(5, 0), **style) for i in y]

    def update(values):
        for box, text, value, i in zip(boxes, texts, array(values), y):
            box.set_width(value)
            text.xy = (max(value, 0), i)
            text.set_text(fmt(value))

    update(values)
    return update


def distribution_bars(ax, probs, *, names=ACTIONS, meaning: str = NEW, label: str = "", place=0.0, width=0.7):
    """The probabilities of the actions as upright bars. For two policies: `place=-0.2, width=0.38` and `place=0.2`.

    probs: (actions,). Returns update(probs).
    """
    x = np.arange(len(names))
    look = {"color": meaning, "label": label or None, "animated": True, "zorder": 2}
    if stroke(meaning)["linestyle"] != "-":
        look |= {"hatch": "///", "edgecolor": "white", "linewidth": 0}
    boxes = ax.bar(x + place, array(probs), width=width, **look)
    texts = [ax.text(i + place, 0, "", ha="center", va="bottom", color=INK, animated=True, zorder=4) for i in x]
    ax.set_xticks(x, names)
    ax.set(ylim=(0, 1.12), ylabel="probability")
    ax.grid(False, axis="x")

    def update(probs):
        for box, text, p in zip(boxes, texts, array(probs)):
            box.set_height(p)
            text.set(y=p + 0.015, text=f"{p:.2f}")

    update(probs)
    return update
