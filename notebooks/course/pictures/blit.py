"""How a figure is drawn again and again: what stands still once, what moves each time, letters only where they changed.

Left out: moving letters by copying their pixels. On another ground their soft edges have other colours.
"""

from __future__ import annotations

import sys

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text


class Blit:
    """Draws one figure again and again: what stands still once, the animated artists and all above them each time."""

    def __init__(self, fig: Figure):
        if "matplotlib.pyplot" in sys.modules:
            sys.modules["matplotlib.pyplot"].close(fig)  # else a pyplot figure is shown again at the end of the cell
        if not isinstance(fig.canvas, FigureCanvasAgg):
            FigureCanvasAgg(fig)
        self.fig, self.background, self.moving = fig, None, []

    def image(self) -> np.ndarray:
        """The figure as it is now, (height, width, 3) uint8."""
        fig, canvas = self.fig, self.fig.canvas
        if self.background is None or fig.stale:
            moving = [a for ax in fig.axes for a in _front(ax)] + [a for a in fig.get_children() if a.get_animated()]
            self.moving = [_Letters(a) if type(a) in (Text, Legend) else a for a in moving]
            canvas.draw()  # leaves animated artists out
            fig.set_layout_engine("none")  # the axes stay where they are: no jumping while a slider moves
            self.background = canvas.copy_from_bbox(fig.bbox)
        else:
            canvas.restore_region(self.background)
        for artist in self.moving:
            artist.draw(canvas.get_renderer())
        fig.stale = False  # drawing itself may have set it
        drawn = np.asarray(canvas.buffer_rgba())
        image = np.empty((*drawn.shape[:2], 3), np.uint8)
        for colour in range(3):  # one by one: four times as fast as drawn[..., :3].copy()
            image[..., colour] = drawn[..., colour]
        return image


def _front(ax) -> list:
    """The artists of `ax` from the first animated one upwards, in the order of drawing; all become animated."""
    frame = {ax.patch} if ax.axison else {ax.patch, ax.xaxis, ax.yaxis, *ax.spines.values()}
    artists = sorted((a for a in ax.get_children() if a not in frame), key=lambda a: a.zorder)
    first = next((i for i, a in enumerate(artists) if a.get_animated()), len(artists))
    for artist in artists[first:]:
        artist.set_animated(True)
    return artists[first:]


class _Letters:
    """A text or a legend: while neither it nor the ground below changes, its pixels are copied.

    Its place changes only where it says so itself (`stale`), or with the axes, and then all is drawn again (`Blit`).
    """

    def __init__(self, artist):
        self.artist, self.parts, self.place, self.ground = artist, artist.findobj(), None, None

    def draw(self, renderer) -> None:
        if any(part.stale for part in self.parts):
            self.place = self.ground = None
            self.artist.draw(renderer)
            for part in self.parts:  # what is empty or hidden does not say that it was drawn
                part.stale = False
            return
        pixels = np.asarray(renderer.buffer_rgba())  # (height, width, 4): the picture itself
        if self.place is None:
            box = self.artist.get_window_extent(renderer).padded(8)  # 8: soft edges and frames
            bottom, top = (max(0, len(pixels) - round(y)) for y in (box.y0, box.y1))
            self.place = slice(top, bottom), slice(max(0, round(box.x0)), max(0, round(box.x1)))
        here = pixels[self.place]
        if self.ground is not None and np.array_equal(here, self.ground):
            here[:] = self.face
            return
        self.ground = here.copy()
        self.artist.draw(renderer)
        self.face = here.copy()
