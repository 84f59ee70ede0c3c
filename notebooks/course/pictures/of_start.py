"""Notebook 00: the road map, its notebooks in four places, and the two functions that they share."""

from __future__ import annotations

import tomllib
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from .style import INK, figure

PLACES = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))["places"]
ROADMAP_ALT = (
    "Road map of the course: notebooks 00 to 07 in the maze, 08 to 10 on control tasks, 11 to 15 with a tiny language "
    "model, 16 on a GPU, 17 about PPO's family. Arrows from one bar, the functions gae and clipped_surrogate, lead to "
    "all four."
)


def roadmap() -> Figure:
    """The course on one page, 10.7 x 4.6 inches: `show(roadmap(), ROADMAP_ALT)`."""
    fig, ax = figure(width=10.7, height=4.6)
    fig.set_layout_engine("none")
    ax.set(xlim=(0, 10.7), ylim=(4.6, 0), position=[0, 0, 1, 1])
    ax.set_axis_off()

    def box(x, y, width, height, radius, **style):
        shape = f"round,pad=0,rounding_size={radius}"
        ax.add_patch(FancyBboxPatch((x, y), width, height, boxstyle=shape, **{"edgecolor": "none", **style}))

    wide, high, gap, top, bottom, left, right = 1.544, 0.62, 0.09, 0.08, 3.62, 0.1, 10.6
    for place, shade in zip(PLACES, (0.08, 0.27, 0.42, 0.56)):
        name, what, columns, first, titles = (place[k] for k in ("name", "what", "columns", "first", "titles"))
        colour, width = matplotlib.colormaps["viridis"](shade), columns * (wide + gap) + gap
        box(left, top, width, bottom - top, 0.1, facecolor="#F1F3F6")
        box(left, top, width, 0.62, 0.1, facecolor=colour)
        ax.text(left + 0.14, top + 0.21, name, fontsize=11.5, weight="bold", va="center", color="white")
        ax.text(left + 0.14, top + 0.45, what, va="center", color="white")
        for i, title in enumerate(titles):
            column, row = divmod(i, 4)
            x, y = left + gap + column * (wide + gap), top + 0.71 + row * (high + gap)
            box(x, y, wide, high, 0.06, facecolor="white", edgecolor="#D5DAE2", linewidth=1)
            ax.text(x + 0.09, y + high / 2, f"{first + i:02}", fontsize=12, weight="bold", va="center", color=colour)
            ax.text(x + 0.37, y + high / 2, title, va="center", color=INK, linespacing=1.1)
        start, end = (left + width / 2, 4.0), (left + width / 2, bottom + 0.02)
        head = "-|>,head_width=5,head_length=8"
        ax.add_patch(FancyArrowPatch(start, end, arrowstyle=head, color=INK, linewidth=2.5, shrinkA=0, shrinkB=0))
        left += width + gap
    box(0.1, 4.0, right - 0.1, 0.5, 0.1, facecolor=INK)
    white = {"color": "white", "va": "center"}
    ax.text(0.32, 4.25, "gae  +  clipped_surrogate", fontsize=12, family="DejaVu Sans Mono", weight="bold", **white)
    ax.text(right - 0.22, 4.25, "the same two functions in all four places", fontsize=11, ha="right", **white)
    return fig
