"""One number for each action on each square: four triangles a square, green above zero, red below.

    fig, ax = figure(width=4.8, height=4.8)
    draw_actions(ax, Maze(), solution.A)

The sign is written in each triangle too, so that colour alone never carries it.
Left out: mazes larger than 5 x 5, where the numbers would not fit.
"""

from __future__ import annotations

import matplotlib
import numpy as np
from matplotlib.collections import PathCollection, PolyCollection
from matplotlib.patches import Rectangle

from .maze_figures import MOVES, WALL, checked, text_path
from .style import INK, NEGATIVE, POSITIVE

UP, DOWN = ((0, 0), (-1, -1), (1, -1)), ((0, 0), (-1, 1), (1, 1))
LEFT, RIGHT = ((0, 0), (-1, -1), (-1, 1)), ((0, 0), (1, -1), (1, 1))
TRIANGLES = 0.5 * np.array([UP, DOWN, LEFT, RIGHT])  # (4, 3, 2); y grows downwards


def draw_actions(ax, maze, numbers):
    """Draw `numbers` (S, 4), for instance the advantages A(s, a), on `ax`. Returns update(numbers); the scale stays.

    ValueError for another shape.
    """
    n = maze.size
    squares = [s for s in range(maze.n_states) if s not in maze.walls and s != maze.goal]
    centres = np.stack([np.array(squares) % n, np.array(squares) // n], 1)
    corners = (centres[:, None, None] + TRIANGLES).reshape(-1, 3, 2)
    ax.set(xlim=(-0.53, n - 0.47), ylim=(n - 0.47, -0.53), aspect="equal")
    ax.set_axis_off()
    tiles = PolyCollection(corners, edgecolors="white", linewidths=0.8, animated=True, zorder=1)
    ax.add_collection(tiles)
    for s in maze.walls:
        ax.add_patch(Rectangle((s % n - 0.5, s // n - 0.5), 1, 1, facecolor=WALL, hatch="////", edgecolor="#6B7488"))
    for x, y in centres:
        ax.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, edgecolor="white", linewidth=3, zorder=2))
    ax.add_patch(Rectangle((-0.5, -0.5), n, n, fill=False, edgecolor=WALL, linewidth=4, joinstyle="round", zorder=3))
    ax.text(maze.goal % n, maze.goal // n, "G", ha="center", va="center", fontsize=14, weight="bold", color=INK)
    places = (centres[:, None] + MOVES * [0.28, 0.36]).reshape(-1, 2)
    look = {"facecolors": INK, "linewidths": 0, "animated": True, "zorder": 4}
    words = PathCollection([], offsets=places, offset_transform=ax.transData, **look)
    ax.add_artist(words).set_transform(ax.figure.dpi_scale_trans)  # outlines in inches, not 60 slow texts
    scale = np.abs(checked("numbers", numbers, maze.n_states, 4)[squares]).max() or 1.0

    def update(numbers):
        flat = checked("numbers", numbers, maze.n_states, 4)[squares].ravel()
        strength = np.clip(np.abs(flat) / scale, 0, 1)[:, None] ** 0.7 * 0.85
        ends = np.where(flat[:, None] > 0, matplotlib.colors.to_rgb(POSITIVE), matplotlib.colors.to_rgb(NEGATIVE))
        tiles.set_facecolors(1 - strength + strength * ends)
        words.set_paths([text_path(_short(x)) for x in flat])

    update(numbers)
    return update


def _short(x: float) -> str:
    """+1.4, −.95 or 0: at most four characters, and always a sign."""
    if abs(x) < 5e-3:
        return "0"
    text = f"{x:+.1f}" if abs(x) >= 0.995 else f"{x:+.2f}".replace("0.", ".")
    return text.replace("-", "−")
