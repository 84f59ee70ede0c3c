"""A panel: sliders above one picture, updated in place. Core ipywidgets only, so it works in JupyterLab and in Colab.

    def draw(gamma):                                   # called with the value of every control
        curve.set_ydata(gamma**t)                      # an artist made once, with animated=True
        return fig                                     # or an SVG string; or (picture, numbers for the alt text)

    Panel({"gamma": slider("γ discount", 0, 1, 0.01, 0.9)}, draw, alt="Weights gamma^t at gamma = {gamma:.2f}.")

How it is fast: what does not move is drawn once and kept as a bitmap; moving a slider draws only the animated artists
on a copy of it (blit.py). If anything else changed, `Figure.stale` tells, and everything is redrawn.
What takes long, a training, says so (`busy=`) and is done for the newest values only; see busy.py.
How it survives: the output also carries a still picture, for GitHub and for notebooks that were not run yet (`page.py`
says in which forms). Run, saved and opened again, it shows its last picture if JupyterLab saves the widgets' state:
notebooks/course/widget_state.py.
Left out: `interact` and `Output` (they make the page jump), ipympl (dead on Colab), anything fetched from the network.
"""

from __future__ import annotations

import html
import inspect
import math
import sys
import time

import ipywidgets as W
from matplotlib.figure import Figure

from ..widget_state import PAGE
from .blit import Blit
from .busy import WhenAtRest, browsers_loop, card
from .page import image, still, svg_size, white_card
from .style import css_size, png, png_metadata, require_alt

SLOW = 0.3  # seconds; after two redraws in a row that take longer, sliders wait for the release of the mouse
QUICK = 0.15  # seconds; after three redraws in a row that take less, they follow the mouse again

# ---- controls ----------------------------------------------------------------


def slider(label: str, low: float, high: float, step: float, value: float, *, log: bool = False, integer: bool = False):
    """A slider. `label` is the symbol and a word: "γ discount".

    log: low, high and value are the numbers themselves (0.01, 100, 1), `step` in decades (0.25). integer: no fraction.
    """
    if not (low < high and low <= value <= high and step > 0 and (low > 0 or not log)):
        need = "low < high, low <= value <= high, step > 0" + (", low > 0" if log else "")
        raise ValueError(f"slider {label!r} needs {need}; got low {low}, high {high}, step {step}, value {value}")
    if not all(math.isfinite(x) and (not integer or x == int(x)) for x in (low, high, step, value)):
        need = "whole numbers" if integer else "finite numbers"
        raise ValueError(f"slider {label!r} needs {need}; got low {low}, high {high}, step {step}, value {value}")
    if integer:
        return W.IntSlider(description=label, min=int(low), max=int(high), step=int(step), value=int(value))
    if log:
        low, high = math.log10(low), math.log10(high)
        return W.FloatLogSlider(description=label, min=low, max=high, step=step, value=value, readout_format=".3g")
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    return W.FloatSlider(description=label, min=low, max=high, step=step, value=value, readout_format=f".{digits}f")


def stops(label: str, options, value):
    """A slider over a short list: `stops("B batch size", [1, 4, 16, 64], 16)`. Options may be (text, value) pairs."""
    return W.SelectionSlider(description=label, options=list(options), value=value)


def choice(label: str, options, value):
    """A drop-down list. Options are values or (text, value) pairs."""
    return W.Dropdown(description=label, options=list(options), value=value)


def toggle(label: str, value: bool = False):
    """A box to tick."""
    return W.Checkbox(description=label, value=value, indent=False)


def text(label: str, value: str = ""):
    """A line to type in. The picture follows when Enter is pressed, or when the line is left."""
    return W.Text(description=label, value=value, continuous_update=False)


def ends(control) -> list:
    """The values a test must try: ends of a slider, options of a list, states of a box, an empty and a full line."""
    if isinstance(control, W.Text):
        return ["", "Thank you! " * 20]
    if hasattr(control, "options"):
        return [option[1] if isinstance(option, tuple) else option for option in control.options]
    if isinstance(control, W.Checkbox):
        return [False, True]
    low, high = control.min, control.max
    return [control.base**low, control.base**high] if isinstance(control, W.FloatLogSlider) else [low, high]


# ---- the panel ---------------------------------------------------------------


class Panel:
    """Controls above a picture. Put it on the last line of a cell.

    controls: dict from the argument names of `draw` to widgets (`slider`, `stops`, `choice`, `toggle`, `text`).
    draw(**values): returns a Figure made once outside, or an SVG string; or a pair of it and a dict of numbers.
    alt: words for readers who cannot see the picture, with the numbers shown: a format string, or a function that
        returns the text. Both receive the values of the controls and the numbers from `draw`.
    live: True: redraw while a slider moves. False: when it is released. None: live, and on release as long as redrawing
        is slow: two in a row over 0.3 s; three in a row under 0.15 s make it live again.
    busy: what a panel that computes for long says meanwhile, over its old picture: "training 64 robots …". Such a panel
        waits until the hand rests and computes the newest values only; those passed over are left out.
    toolbar: widgets shown above the controls (a replay's play button); their values do not go to `draw`.

    For tests, without a browser: `.set(gamma=0.5)`, `.values`, `.png` (bytes; None for SVG), `.svg`, `.alt`, `.error`,
    `.sweep()`; they draw at once, with `busy` too. Raises ValueError if names do not fit, and whatever `draw` or `alt`
    raises at the first picture.
    """

    def __init__(self, controls: dict, draw, alt, *, live: bool | None = None, busy: str = "", toolbar=()):
        for name, control in controls.items():
            if not hasattr(control, "value"):
                example = "slider('γ discount', 0, 1, 0.01, 0.9)"
                raise ValueError(f"controls[{name!r}] must be a widget, such as {example}; got {control!r}")
        try:
            inspect.signature(draw).bind(**controls)
        except TypeError as problem:
            raise ValueError(f"draw must take the arguments {', '.join(controls)}: {problem}") from None
        self.controls, self._draw, self._alt, self.live = dict(controls), draw, alt, live
        self.error = self.png = self.svg = self._blit = None
        self._tag, self._pace, self._holding, self._tried = "", 0, False, None
        self._busy, self._later = busy, WhenAtRest(self._move)
        self._picture, self._words = W.HTML(), W.HTML()
        self._eager = [control for control in controls.values() if getattr(control, "continuous_update", False)]
        labelled = [control for control in controls.values() if not isinstance(control, W.Checkbox)]
        em = 0.56 * max([len(control.description) for control in labelled], default=0) + 1
        for control in labelled:
            control.style.description_width = f"{em:.1f}em"
            if hasattr(control, "readout") or isinstance(control, W.Text):  # a slider: a line of its own, to its end
                control.layout = W.Layout(width="auto", min_width="0", flex="1 1 100%")
            else:
                control.layout = W.Layout(width=f"{em + 23:.1f}em", max_width="100%")
        for control in controls.values():
            control.observe(self._moved, names="value")
        if live is False:
            self._follow(False)
        row = {"display": "flex", "flex_flow": "row wrap", "align_items": "center"}
        rows = [W.Box(list(widgets), layout=row) for widgets in (toolbar, controls.values()) if widgets]
        place = {"grid_area": "1 / 1", "min_width": "0"}  # both in one place: the words over the picture
        self._picture.layout, self._words.layout = W.Layout(**place), W.Layout(**place, margin="40px auto auto")
        grid = {"display": "grid", "grid_template_columns": "minmax(0, 1fr)"}
        stack = W.Box([self._picture, self._words], layout=grid)
        self.widget = W.VBox(
            [*rows, stack, W.HTML(PAGE["named"] + PAGE["as_left"], layout=W.Layout(height="0", margin="0"))]
        )
        self.widget.add_class("ppo-panel").add_class("ppo-live")
        self._update()
        if self.error:
            raise self.error
        self.widget.layout.max_width = f"{self._width() + 24}px"  # a slider is as long as the picture is wide

    @property
    def values(self) -> dict:
        """The values of the controls now."""
        return {name: control.value for name, control in self.controls.items()}

    def set(self, **values) -> Panel:
        """Move controls from code, then redraw once. Unknown names raise ValueError."""
        if unknown := set(values) - set(self.controls):
            raise ValueError(f"this panel's controls are {', '.join(self.controls)}; got {', '.join(sorted(unknown))}")
        self._holding = True
        try:
            for name, value in values.items():
                self.controls[name].value = value
        finally:
            self._holding = False
        self._update()
        return self

    def sweep(self) -> dict[str, int]:
        """Move every control to its ends (every option of a list), the others at their start.

        Returns how many different pictures each control made; 1: it moves nothing. RuntimeError if one failed.
        """
        start, counts = self.values, {}
        for name, control in self.controls.items():
            pictures = set()
            for value in [start[name], *ends(control)]:
                self.set(**{**start, name: value})
                if self.error:
                    raise RuntimeError(f"the panel cannot draw {self.values}: {self.error!r}") from self.error
                pictures.add(self.png or self.svg)
            counts[name] = len(pictures)
        self.set(**start)
        return counts

    def _width(self) -> int:
        """How many CSS pixels wide the picture is."""
        if self._blit:
            return css_size(self._blit.fig)["width"]
        return svg_size(self.svg)[0] or 900

    def _follow(self, live: bool) -> None:
        """Sliders send every value on their way (live), or where they are released."""
        for control in self._eager:
            control.continuous_update = live

    def _moved(self, _change) -> None:
        if self._holding:
            return
        loop = browsers_loop() if self._busy else None
        if loop is None:
            return self._move()
        self._words.value = card(self._busy)
        self._later.start(loop)

    def _move(self) -> None:
        """Redraw for a control that was moved by hand, unless that is done; then see whether the panel keeps pace."""
        if self.values != self._tried or self.error:
            began = time.perf_counter()
            try:
                self._update()
            except KeyboardInterrupt:  # the kernel's interrupt button
                self._fail(KeyboardInterrupt("it was interrupted; move a control to draw it again"))
            took = time.perf_counter() - began
            if took > SLOW:
                self._pace = max(self._pace, 0) + 1
            else:
                self._pace = min(self._pace, 0) - 1 if took < QUICK else 0
            if self.live is None and self._pace in (2, -3):
                self._follow(self._pace < 0)
        if self.values == self._tried:  # else a message came while this was drawn, and put the words there again
            self._words.value = ""

    def _update(self) -> None:
        """Draw for the present values. An exception becomes a red line under the old picture, until the next move."""
        values = self._tried = self.values
        try:
            drawn = self._draw(**values)
            picture, numbers = drawn if isinstance(drawn, tuple) else (drawn, {})
            facts = {**values, **numbers}
            self.alt = require_alt(self._alt(**facts) if callable(self._alt) else self._alt.format(**facts))
            self._tag, self.error = self._encode(picture), None
            self._picture.value = self._tag
        except Exception as problem:
            self._fail(problem)

    def _fail(self, problem: BaseException) -> None:
        """A red line under the old picture."""
        self.error = problem
        words = html.escape(f"{type(problem).__name__}: {problem}".splitlines()[0][:200])
        look = "color:#b3261e;background:#fff;padding:4px 8px"  # red on white, in a dark page too
        alert = f'<div role="alert" style="{look}">This picture could not be drawn. {words}</div>'
        self._picture.value = self._tag + alert

    def _encode(self, picture) -> str:
        """The picture as HTML, of a fixed size: no flicker, no jumping page."""
        if isinstance(picture, str) and picture.lstrip().startswith("<svg"):
            self.svg = picture  # in the page itself, so that the mouse finds its titles
            shown = f'<div role="img" aria-label="{html.escape(self.alt)}">{picture}</div>'
            return white_card(shown, svg_size(picture)[0])
        if not isinstance(picture, Figure):
            raise TypeError(f"draw must return a matplotlib Figure or an SVG string; got {type(picture).__name__}")
        if self._blit is None or self._blit.fig is not picture:
            self._blit = Blit(picture)
        self._image, size = self._blit.image(), css_size(picture)
        self.png = png(self._image)
        return white_card(image(self.png, "image/png", self.alt, **size), size["width"])

    def _repr_mimebundle_(self, include=None, exclude=None):
        view = {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id}
        bundle = {"application/vnd.jupyter.widget-view+json": view, "text/plain": self.alt}
        if "google.colab" in sys.modules:  # it shows the widget, and must not find a picture to show instead
            return bundle, {}
        if self.svg:
            pictures = {"text/html": still(self.svg, self.alt), "image/svg+xml": self.svg}
            return {**bundle, **pictures}, {"image/svg+xml": {"alt": self.alt}}
        metadata = {"image/png": png_metadata(self._blit.fig, self.alt)}
        return {**bundle, "image/png": png(self._image, small=True)}, metadata

    def __repr__(self):
        return self.alt
