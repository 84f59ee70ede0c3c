"""One look for every figure: colours with a fixed meaning, one way to make a figure, one way to show it.

The colours are Okabe and Ito's (2008), chosen so that colour-blind readers can tell them apart. A colour never stands
alone: each meaning has its own line style and its own marker too. Figures are plain `matplotlib.figure.Figure`s that
pyplot never hears of, so nothing is shown twice and nobody's settings change. Left out: dark colours; a picture stands
on a white card in every theme (`page.py`).
"""

from __future__ import annotations

import io
import math
import struct
import tomllib
import zlib
from pathlib import Path

import matplotlib
import numpy as np
from IPython.display import display
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from .page import words

POSITIVE = "#009E73"  # bluish green: A > 0, better than expected
NEGATIVE = "#D55E00"  # vermillion:   A < 0, worse than expected
NEW = "#0072B2"  # blue:         the policy being trained
OLD = "#56B4E9"  # sky blue:     the policy that collected the data (yesterday's, so paler)
REFERENCE = "#CC79A7"  # purple:       the policy we must not stray from (home)
ESTIMATE = "#E69F00"  # orange:       sampled, noisy
EXACT = "#000000"  # black:        the truth, no error bar
MUTED = "#8A8F98"  # grey:         guides, what is not the point
INK = "#22262E"  # text
NAMES = ("#37475A", "#A07B45", "#8A3D3A")  # neutral, for series that have a name and no meaning: "from 100", "k2"

_LOOKS = {  # line style, marker
    POSITIVE: ("-", "^"),
    NEGATIVE: ((0, (5, 1.5)), "v"),
    NEW: ("-", "o"),
    OLD: ((0, (6, 2)), "s"),
    EXACT: ("-", "*"),
    REFERENCE: ((0, (1.2, 1.4)), "D"),
    ESTIMATE: ((0, (6, 1.5, 1.2, 1.5)), "."),
    MUTED: ((0, (2, 2)), "x"),
    NAMES[0]: ("-", "P"),
    NAMES[1]: ((0, (4, 2)), "X"),
    NAMES[2]: ((0, (1, 1.5, 4, 1.5)), "p"),
}

_RC = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))  # matplotlib's settings


def figure(ncols: int = 1, nrows: int = 1, *, width: float = 6.0, height: float = 3.0, dpi: int = 150, **axes):
    """A new figure and its axes: (fig, ax), or (fig, array of axes) when there are several.

    width, height: inches. The page shows 100 CSS pixels for an inch; `dpi` dots are drawn for it (more: sharper on a
    fine screen, slower in a panel; `show` always draws 200). Further keywords go to every axes (xlabel, ylabel, title,
    xlim ...), except `width_ratios`, `height_ratios`, `sharex` and `sharey`, which are matplotlib's.

    >>> fig, ax = figure(xlabel="iteration", ylabel="return J", ylim=(-20, 1))
    >>> ax.get_ylabel(), fig.get_size_inches().tolist()
    ('return J', [6.0, 3.0])
    """
    grid = {k: axes.pop(k) for k in ("width_ratios", "height_ratios", "sharex", "sharey") if k in axes}
    with matplotlib.rc_context(_RC):
        fig = Figure(figsize=(width, height), dpi=dpi, layout="constrained")
        FigureCanvasAgg(fig)
        fig.get_layout_engine().set(w_pad=0.08, h_pad=0.06)
        return fig, fig.subplots(nrows, ncols, subplot_kw=axes, **grid)


def stroke(meaning: str, **more) -> dict:
    """Keywords for a line with that meaning: `ax.plot(x, y, **stroke(NEW), label="new policy")`."""
    return {"color": meaning, "linestyle": _LOOKS[meaning][0], "linewidth": 2.0, **more}


def dots(meaning: str, **more) -> dict:
    """Keywords for markers with that meaning: `ax.plot(x, y, **dots(POSITIVE))`."""
    marker = _LOOKS[meaning][1]
    size, edge = 9 if marker in "*." else 6, meaning if marker == "x" else "white"
    shape = {"marker": marker, "markersize": size, "markeredgecolor": edge, "markeredgewidth": 0.6}
    return {"color": meaning, "linestyle": "none", **shape, **more}


def key(ax, **more):
    """A quiet legend: `key(ax, loc="lower right")`."""
    quiet = {"fontsize": 10, "labelcolor": INK, "handlelength": 2.4, "framealpha": 0.85, "edgecolor": "none"}
    return ax.legend(**{**quiet, **more})


def number(x: float, digits: int = 3) -> str:
    """A number as a figure shows it: three significant digits, a real minus sign, never '-0'.

    >>> number(-18.2142857), number(0.00012345), number(1234567.0), number(1800), number(-0.0), number(float("nan"))
    ('−18.2', '0.000123', '1.23e+06', '1800', '0', 'nan')
    """
    x = float(f"{float(x):.{digits - 1}e}")  # rounded first: 9.999 has two digits before the point
    power = math.floor(math.log10(abs(x))) if x and math.isfinite(x) else 0
    text = f"{x:.{max(0, digits - 1 - power)}f}" if -5 < power < 6 else f"{x:.{digits - 1}e}"
    return "0" if x == 0 else text.replace("-", "−", 1) if x < 0 else text


def readable(colour: str, contrast: float = 5.5) -> str:
    """The same hue, darkened for letters until its WCAG contrast with white is `contrast`, if it is less.

    5.5 with white is 4.5 with the palest fills that letters stand on. Lines and areas keep the colour itself.

    >>> readable("#22262E"), readable("#8A8F98")
    ('#22262E', '#65686F')
    """
    parts = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    while 1.05 / (luminance(parts) + 0.05) < contrast:
        parts = [0.99 * part for part in parts]
    return "#" + "".join(f"{int(part):02X}" for part in parts)


def luminance(rgb) -> float:
    """Relative luminance (WCAG 2) of a colour given as three numbers from 0 to 255: black 0, white 1."""
    shares = [part / 255 for part in rgb]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


# ---- from a figure to bytes --------------------------------------------------


def png(image, *, small: bool = False) -> bytes:
    """PNG bytes without dates or software names: the same picture always gives the same bytes.

    image: (height, width, 3) uint8, an array or an RGB image of Pillow's.
    small: take the time to make the file three times smaller, with a palette: the 128 most frequent colours exactly,
    and 128 that cover the rest (soft edges of letters and lines), unless a pixel would move by over 24 of 255 steps.
    Otherwise be quick, for moving pictures: Pillow tries five filters on every row, here it is always "up".
    """
    if small:
        buffer = io.BytesIO()
        _with_palette(Image.fromarray(np.asarray(image))).save(buffer, "png", optimize=True)
        return buffer.getvalue()
    height, width, _ = np.shape(image)
    pixels = np.asarray(image).reshape(height, -1)
    rows = np.empty((height, 1 + pixels.shape[1]), np.uint8)
    rows[:, 0], rows[0, 1:] = 2, pixels[0]  # each row starts with its filter's number
    np.subtract(pixels[1:], pixels[:-1], out=rows[1:, 1:])
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b""))
    parts = (struct.pack(">I", len(d)) + name + d + struct.pack(">I", zlib.crc32(name + d)) for name, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _with_palette(image: Image.Image) -> Image.Image:
    pixels = np.asarray(image).astype(np.int64) @ [65536, 256, 1]
    colours, where, counts = np.unique(pixels, return_inverse=True, return_counts=True)
    rgb = np.stack([colours >> 16, colours >> 8 & 255, colours & 255], 1)
    rest = np.reshape(image.quantize(128, method=Image.Quantize.MAXCOVERAGE).getpalette(), (-1, 3))
    palette = np.concatenate([rgb[np.argsort(-counts, kind="stable")[:128]], rest])
    distance = np.abs(rgb[:, None] - palette).max(-1)  # (colours, 256)
    if distance.min(1).max() > 24:
        return image
    reduced = Image.fromarray(distance.argmin(1).astype(np.uint8)[where].reshape(pixels.shape)).convert("P")
    reduced.putpalette(palette.astype(np.uint8).tobytes())
    return reduced


def render(fig: Figure, dpi: float = 200) -> Image.Image:
    """The whole figure, animated artists too, as an RGB image."""
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=dpi, pil_kwargs={"compress_level": 0})
    return Image.open(buffer).convert("RGB")


def css_size(fig: Figure) -> dict[str, int]:
    """Width and height of the figure in the page, in CSS pixels: 100 for an inch."""
    width, height = fig.get_size_inches()
    return {"width": round(width * 100), "height": round(height * 100)}


def require_alt(alt) -> str:
    """`alt` as one clean line, or a ValueError: every picture says in words what it shows."""
    if not isinstance(alt, str) or not alt.strip():
        raise ValueError(f"alt must say in words what the picture shows; got {alt!r}")
    return " ".join(alt.split())


def show(fig: Figure, alt: str) -> None:
    """Display a static figure as a PNG, and below it `alt`, what it shows in words, folded. Returns None."""
    alt = require_alt(alt)
    picture = {"image/png": png(render(fig), small=True), "text/plain": alt}
    display(picture, raw=True, metadata={"image/png": png_metadata(fig, alt)})
    display({"text/html": words(alt)}, raw=True)


def png_metadata(fig: Figure, alt: str) -> dict:
    """What a notebook keeps beside a PNG. unconfined: in a narrow page it scrolls instead of shrinking."""
    return {"alt": alt, **css_size(fig), "unconfined": True}
