"""The maze as a picture: values as colour and number, the policy as arrows, the robot, its path, walls, start and goal.

    fig, ax = figure(width=4, height=4)
    picture = draw_maze(ax, maze, values=V, probs=probs, robot=0)      # once
    picture.update(values=V2, robot=5)                                 # again and again; what is not named stays

An arrow points where an action leads; its area is the action's probability. Dark squares are low, bright ones high
(viridis, readable for the colour-blind). A circle S is the start, a flag G the goal, hatched squares are walls.
Everything takes numpy arrays or torch tensors. Left out: other grids than squares, and more than one robot.
"""

from __future__ import annotations

from functools import lru_cache

import matplotlib
import numpy as np
from matplotlib import patheffects
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PathCollection, PolyCollection
from matplotlib.colors import Normalize, to_rgb
from matplotlib.patches import BoxStyle, PathPatch, Rectangle
from matplotlib.path import Path
from matplotlib.textpath import TextPath

from .style import ESTIMATE, INK, figure, number, render

FLOOR, WALL = "#F1F3F6", "#3B4252"
MOVES = np.array([[0, -1], [0, 1], [-1, 0], [1, 0]])  # (x, y) of up, down, left, right; y grows downwards
LIFT = np.array([0.0, -0.09])  # robot, path and arrows stand a little above a square's middle if a number is below

# Outlines, in units of one square. An arrow from its own start: (along, across) the direction of the move.
_ARROW = np.array([(0, 0.022), (0.17, 0.022), (0.17, 0.105), (0.31, 0), (0.17, -0.105), (0.17, -0.022), (0, -0.022)])
_FLAG = Path([(-0.14, -0.14), (0.22, -0.14), (0.13, 0), (0.22, 0.14), (-0.14, 0.14), (-0.14, -0.14)])
_ROBOT = (  # shape, colour, colour of its edge, from the back to the front: aerial, head, eyes
    (Path.make_compound_path(Path([(0, -0.13), (0, -0.25)]), Path.circle((0, -0.25), 0.035)), INK, INK),
    (BoxStyle("round", pad=0, rounding_size=0.1)(-0.2, -0.13, 0.4, 0.33, 1), ESTIMATE, INK),
    (Path.make_compound_path(Path.circle((-0.085, 0.02), 0.055), Path.circle((0.085, 0.02), 0.055)), INK, "white"),
)


def array(x) -> np.ndarray:
    """A torch tensor or anything array-like as a float64 numpy array."""
    return np.asarray(x.detach().cpu() if hasattr(x, "detach") else x, dtype=float)


class MazePicture:
    """What `draw_maze` returns: the artists of one maze, and `update` to move them. All are animated, for `Panel`."""

    def __init__(self, ax, maze, norm, cmap, fmt):
        self.ax, self.maze, self.norm, self.cmap, self.fmt = ax, maze, norm, matplotlib.colormaps[cmap], fmt
        n, squares = maze.size, np.arange(maze.n_states)
        self.xy = np.stack([squares % n, squares // n], 1).astype(float)  # the middle of each square
        self.goal, self.solid = squares == maze.goal, np.isin(squares, sorted(maze.walls))
        self.values, self.probs, self.lift = None, None, 0 * LIFT
        ax.set(xlim=(-0.53, n - 0.47), ylim=(n - 0.47, -0.53), aspect="equal", xticks=[], yticks=[])
        ax.grid(False)
        ax.spines[:].set_visible(False)
        box = ax.get_window_extent()
        self.artists, self.points = [], 72 / ax.figure.dpi * min(box.width, box.height) / n  # one square's side
        self._floor()
        self._marks()
        self._robot()

    def _add(self, artist):
        artist.set_animated(True)
        self.artists.append(artist)
        return artist if artist.axes else self.ax.add_artist(artist)

    def _floor(self):
        n, corners = self.maze.size, 0.5 * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
        tiles = PolyCollection(self.xy[:, None] + corners, facecolors=FLOOR, edgecolors="white", linewidths=1.5)
        self.tiles = self._add(tiles)
        for x, y in self.xy[self.solid] - 0.5:
            self._add(Rectangle((x, y), 1, 1, facecolor=WALL, edgecolor="#6B7488", hatch="////", linewidth=0, zorder=2))
        self._add(Rectangle((-0.5, -0.5), n, n, fill=False, edgecolor=WALL, linewidth=4, joinstyle="round", zorder=3))
        self.arrows = self._add(PolyCollection([], linewidths=0, zorder=4))
        places = self.xy[~self.solid]
        self.numbers = PathCollection([], offsets=places, offset_transform=self.ax.transData, linewidths=0, zorder=8)
        self._add(self.numbers).set_transform(self.ax.figure.dpi_scale_trans)  # outlines in inches

    def _marks(self):
        scale, size = min(1.0, 55 / self.points), min(10, 0.25 * self.points)
        style = {"ha": "center", "va": "center_baseline", "weight": "bold", "color": INK, "zorder": 6}
        for letter, shape, square in (("S", Path.circle(radius=0.145), self.maze.start), ("G", _FLAG, self.maze.goal)):
            x, y = self.xy[square] - 0.48 + 0.17 * scale
            outline = Path(shape.vertices * scale + (x, y), shape.codes)
            self._add(PathPatch(outline, facecolor="white", edgecolor=INK, linewidth=1.2, zorder=5))
            self._add(self.ax.text(x, y, letter if size >= 6 else "", fontsize=size, **style))

    def _robot(self):
        casing = [patheffects.Stroke(linewidth=5, foreground="white"), patheffects.Normal()]
        style = {"color": ESTIMATE, "linewidth": 3, "solid_joinstyle": "round", "path_effects": casing}
        self.trace = self._add(self.ax.plot([], [], **style, zorder=7)[0])
        style = {"linewidth": 1.4, "zorder": 9, "visible": False}
        self.robot = [self._add(PathPatch(shape, facecolor=c, edgecolor=edge, **style)) for shape, c, edge in _ROBOT]

    def update(self, *, values=None, probs=None, robot=None, path=None):
        """Change what is given, keep the rest: values (S,), probs (S, 4), robot: a square, path: squares, or []."""
        if values is not None:
            self.values, self.lift = checked("values", values, self.maze.n_states), LIFT
            if not self.norm.scaled():
                self.norm.autoscale_None(self.values[~self.solid & ~self.goal])
        if probs is not None:
            self.probs = checked("probs", probs, self.maze.n_states, 4)
        if probs is not None or robot is not None:
            self.numbers.set_offsets(self.xy[~self.solid] + (0, 0.345))
        self._paint()
        if robot is not None:
            for patch, (shape, *_) in zip(self.robot, _ROBOT):
                patch.set(path=Path(shape.vertices + self.xy[int(robot)] + self.lift, shape.codes), visible=True)
        if path is not None:
            self.trace.set_data(*(self.xy[np.asarray(path, dtype=int)] + self.lift).T)
        return self

    def _paint(self):
        ink = np.tile(to_rgb(INK), (self.maze.n_states, 1))
        if self.values is not None:
            colours = self.cmap(self.norm(self.values))[:, :3]
            colours[self.goal] = to_rgb(FLOOR)  # nothing is expected there: the episode is over
            ink[colours @ [0.299, 0.587, 0.114] < 0.5] = 1.0
            self.tiles.set_facecolors(colours)
            if self.points > 34:  # else a number of 10 points does not fit, and colour alone must do
                self.numbers.set_paths([text_path(self.fmt(value)) for value in self.values[~self.solid]])
                self.numbers.set_facecolors(ink[~self.solid])
        if self.probs is not None:
            acts = ~self.solid & ~self.goal
            size = np.sqrt(self.probs[acts])[:, :, None, None]  # length and width by sqrt(p): the area goes by p
            shapes = _ARROW[:, :1] * MOVES[:, None] + _ARROW[:, 1:] * MOVES[:, None, ::-1]  # (4 actions, 7 corners, 2)
            self.arrows.set_verts(((self.xy[acts] + self.lift)[:, None, None] + size * shapes).reshape(-1, 7, 2))
            self.arrows.set_facecolors(np.repeat(ink[acts], 4, axis=0))


@lru_cache
def _glyph(character: str) -> tuple[Path, float]:
    """The outline of a character of 10 points, and the width it takes, in inches."""
    shape, between, bars = (TextPath((0, 0), text, size=10 / 72) for text in (character, f"|{character}|", "||"))
    return shape, between.get_extents().width - bars.get_extents().width


def text_path(text: str) -> Path:
    """A short text as one outline around (0, 0). Sixteen `Text` artists would take 25 ms a frame; this takes 1 ms."""
    glyphs, widths = zip(*(_glyph(character) for character in text))
    starts = np.cumsum((0, *widths[:-1])) - sum(widths) / 2
    vertices = [glyph.vertices + (start, -0.0507) for glyph, start in zip(glyphs, starts)]  # half a digit's height
    return Path(np.concatenate(vertices), np.concatenate([glyph.codes for glyph in glyphs]))


def checked(name: str, x, *shape: int) -> np.ndarray:
    """`array(x)`; ValueError unless it has this shape."""
    if array(x).shape != shape:
        raise ValueError(f"{name} must have shape {shape} for this maze; got {array(x).shape}")
    return array(x)


def draw_maze(
    ax,
    maze,
    values=None,
    probs=None,
    robot=None,
    path=None,
    *,
    vmin=None,
    vmax=None,
    fmt=number,
    cmap="viridis",
    colorbar="",
) -> MazePicture:
    """Draw a maze on `ax`; returns a `MazePicture` with `.update(values=, probs=, robot=, path=)` and `.artists`.

    values: (S,), a number for each square. probs: (S, 4), of up, down, left, right. robot: a square. path: squares in
    the order of the visit. vmin, vmax: the ends of the colour scale (default: those of the first `values`;
    give them when values will change). fmt: from a value to its text. colorbar: the label of a colour bar, or "".
    ValueError for arrays of the wrong shape.
    """
    picture = MazePicture(ax, maze, Normalize(vmin, vmax, clip=True), cmap, fmt)
    picture.update(values=values, probs=probs, robot=robot, path=path)
    if colorbar:
        scale = ScalarMappable(picture.norm, picture.cmap)
        ax.figure.colorbar(scale, ax=ax, label=colorbar, shrink=0.92, aspect=18, pad=0.02).outline.set_visible(False)
    return picture


def maze_image(maze, **what) -> np.ndarray:
    """The maze as an RGB array (480, 480, 3) uint8; `what` as in `draw_maze`. `Maze.render` returns it."""
    fig, ax = figure(width=2.4, height=2.4)
    draw_maze(ax, maze, **what)
    return np.array(render(fig))
