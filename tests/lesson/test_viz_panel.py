"""Panels and replays without a browser: every callback, the words, the pixels, the mistakes an author can make."""

import base64
import inspect
import io
import math
import re
import sys
import types

import numpy as np
import pytest
import torch
from IPython.core.formatters import DisplayFormatter
from matplotlib.text import Text
from PIL import Image

from course.pictures import (
    NEW,
    OLD,
    Panel,
    Replay,
    choice,
    draw_maze,
    fan,
    figure,
    histogram,
    key,
    slider,
    stops,
    stroke,
    text,
    toggle,
)
from course.pictures import panel as panel_module
from course.pictures.style import render
from ppo_lesson.maze import Maze

T = np.arange(20)


def curve_panel(alt="Weights at gamma {gamma:.2f} with end {end:.3f}.", **how):
    fig, ax = figure(xlabel="steps", ylabel="weight", ylim=(0, 1))
    ax.plot(T, 0.5**T, **stroke(OLD), label="half")
    (line,) = ax.plot(T, T * 0.0, **stroke(NEW), label="γ", animated=True)
    key(ax)

    def draw(gamma):
        line.set_ydata(gamma**T)
        return fig, {"end": gamma**19}

    return Panel({"gamma": slider("γ discount", 0, 1, 0.01, 0.9)}, draw, alt, **how)


def pixels(data) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def html_of(panel) -> str:
    return panel._picture.value


# ---- moving ------------------------------------------------------------------


def test_moving_the_slider_changes_picture_and_words():
    panel = curve_panel()
    before, words = panel.png, panel.alt
    panel.controls["gamma"].value = 0.5
    assert panel.values == {"gamma": 0.5}
    assert panel.png != before and words == "Weights at gamma 0.90 with end 0.135."
    assert panel.alt == "Weights at gamma 0.50 with end 0.000."
    assert f'alt="{panel.alt}"' in html_of(panel) and 'width="600" height="300"' in html_of(panel)


def test_going_back_gives_the_same_bytes():
    panel = curve_panel()
    first = panel.png
    assert panel.set(gamma=0.2).set(gamma=0.9).png == first == curve_panel().png


def test_set_redraws_once_for_several_controls():
    calls = []

    def draw(a, b):
        calls.append((a, b))
        return f"<svg>{a}{b}</svg>"

    panel = Panel({"a": slider("a", 0, 9, 1, 0), "b": slider("b", 0, 9, 1, 0)}, draw, "a {a}, b {b}")
    panel.set(a=3, b=4)
    assert calls == [(0, 0), (3, 4)]


def test_sweep_tries_every_end_and_finds_a_control_that_moves_nothing():
    seen = []
    fig, ax = figure(ylim=(0, 30))
    (line,) = ax.plot([0, 1], [0, 1], animated=True)

    def draw(rate, batch, way, on, dead):
        seen.append((rate, batch, way, on, dead))
        line.set_ydata([0, np.log10(rate) + batch + {"up": 1, "down": 2}[way] + 5 * on])
        return fig

    controls = {
        "rate": slider("α learning rate", 0.01, 100, 0.5, 1, log=True),
        "batch": stops("B batch size", [1, 4, 16], 4),
        "way": choice("way", ["up", "down"], "up"),
        "on": toggle("on"),
        "dead": slider("dead", 0, 5, 1, 0),
    }
    panel = Panel(controls, draw, "A line.")
    assert panel.sweep() == {"rate": 3, "batch": 3, "way": 2, "on": 2, "dead": 1}
    assert {rate for rate, *_ in seen} == {0.01, 1, 100} and {batch for _, batch, *_ in seen} == {1, 4, 16}
    assert panel.values == {"rate": 1, "batch": 4, "way": "up", "on": False, "dead": 0}


# ---- pixels ------------------------------------------------------------------


def maze_figure():
    fig, (left, right) = figure(2, width=7, height=3.4)
    maze, values, probs = Maze(4, walls=[5, 6]), np.arange(16.0), np.full((16, 4), 0.25)
    picture = draw_maze(left, maze, values=values, probs=probs, robot=0, vmax=20)
    left.text(1, 1, "above the maze", zorder=20)
    title = left.set_title("t", animated=True)
    update = fan(right, T, np.zeros((3, 20)), label="three seeds")
    right.set(ylim=(0, 12))
    right.plot(T, T / 2, **stroke(OLD), label="drawn later", zorder=3)
    key(right)

    def draw(step):
        picture.update(values=values + step, robot=step, path=[0, step])
        title.set_text(f"step {step}")
        update(np.arange(1, 4)[:, None] * T / 20 * step / 3)
        return fig

    return fig, draw


def test_blitting_gives_the_pixels_of_a_full_drawing():
    fig, draw = maze_figure()
    panel = Panel({"step": slider("t step", 0, 15, 1, 3, integer=True)}, draw, "A maze.")
    for step in (0, 9, 15):
        moved = pixels(panel.set(step=step).png)
        full = np.asarray(render(fig, dpi=fig.dpi)).astype(int)
        assert moved.shape == full.shape and np.abs(moved - full).max() == 0
        _, fresh_draw = maze_figure()
        fresh = Panel({"step": slider("t step", 0, 15, 1, step, integer=True)}, fresh_draw, "A maze.")
        assert np.array_equal(pixels(fresh.png), moved)


def test_only_what_moves_is_drawn_again(monkeypatch):
    panel = curve_panel()
    fig, drawn = panel._blit.fig, []
    monkeypatch.setattr(type(fig), "draw", lambda self, renderer: drawn.append(self))
    panel.set(gamma=0.3)
    assert not drawn


def lettered_panel(whole=False):
    """Letters of three kinds: a title that moves, a word that stands, a legend. whole: all is drawn each time."""
    fig, ax = figure(ylim=(0, 10))
    (line,) = ax.plot(T, T * 0.0, label="a curve", animated=True)
    word, title = ax.text(2, 5, "still", zorder=9), ax.set_title(" ", animated=True)
    legend = key(ax, loc="upper right")

    def draw(height, say):
        line.set_ydata(0 * T + height)
        title.set_text(say)
        legend.get_texts()[0].set_text("the line" if say == "b" else "a curve")
        word.set_visible(say != "hide")
        if height == 9.5:
            word.set_position((3, 5))
        if whole:
            fig.stale = True
        return fig

    controls = {"height": slider("h height", 0, 10, 0.5, 1), "say": choice("say", ["a", "b", "hide"], "a")}
    return Panel(controls, draw, "A line at {height}: {say}.")


def test_letters_that_stand_still_are_measured_once(monkeypatch):
    panel, asked, real = lettered_panel(), [], Text.get_window_extent
    panel.set(height=2).set(height=3)
    monkeypatch.setattr(
        Text, "get_window_extent", lambda self, *a, **more: asked.append(self) or real(self, *a, **more)
    )
    panel.set(height=4).set(height=6)
    assert asked == []
    panel.set(say="b").set(height=7)  # the legend has other words now
    assert asked != []


def test_letters_are_copied_only_where_neither_they_nor_the_ground_changed():
    quick, whole = lettered_panel(), lettered_panel(whole=True)
    moves = [(1, "a"), (1.5, "a"), (2, "a"), (9, "a"), (9.5, "a"), (5, "a"), (2, "b"), (9, "b"), (9, "hide"), (9, "a")]
    for height, say in [*moves, *moves[::-1]]:
        pictures = [pixels(panel.set(height=height, say=say).png) for panel in (quick, whole)]
        assert np.array_equal(*pictures), (height, say)


def test_a_word_that_stands_still_is_set_once(monkeypatch):
    panel, drawn = lettered_panel(), []
    panel.set(height=2)
    monkeypatch.setattr(Text, "draw", lambda self, renderer: drawn.append(self.get_text()))
    panel.set(height=3)
    panel.set(height=4)
    assert drawn == [], "the word, the legend and a title that says the same"
    panel.set(say="b")
    assert {"b", "the line"} <= set(drawn)


def test_a_histogram_hangs_below_the_axis_and_moves_as_one_artist():
    ax = figure(ylim=(-5, 5))[1]
    update = histogram(ax, [0, 1, 3, 4], gap=0.5)
    update(torch.tensor([2.0, -1.0, 0.0]))
    (patch,) = ax.patches
    boxes = patch.get_path().to_polygons()
    spans = [(b[:, 0].min(), b[:, 0].max(), b[:, 1].min(), b[:, 1].max()) for b in boxes]
    assert spans == [(0.25, 0.75, 0, 2), (1.25, 2.75, -1, 0), (3.25, 3.75, 0, 0)] and patch.get_animated()


def test_a_change_of_what_stands_still_is_noticed():
    fig, ax = figure(xlabel="x")
    ax.plot([0, 1], [0, 1], animated=True)

    def draw(word):
        ax.set_xlabel(word)
        return fig

    panel = Panel({"word": choice("word", ["x", "steps"], "x")}, draw, "An axis: {word}.")
    first = pixels(panel.png)
    changed = pixels(panel.set(word="steps").png)
    assert not np.array_equal(first, changed)
    assert np.array_equal(pixels(panel.set(word="x").png), first)


def test_a_figure_without_animated_artists_works_too():
    fig, ax = figure(ylim=(0, 10))
    (line,) = ax.plot([0, 1], [0, 1])

    def draw(y):
        line.set_ydata([y, y])
        return fig

    assert Panel({"y": slider("y", 0, 10, 1, 2)}, draw, "A line.").sweep() == {"y": 3}


def test_a_pyplot_figure_is_taken_from_pyplot():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("agg")
    fig, ax = pyplot.subplots()
    (line,) = ax.plot([0, 1], [0, 1], animated=True)

    def draw(y):
        line.set_ydata([0, y])
        return fig

    panel = Panel({"y": slider("y", 0, 1, 0.1, 1)}, draw, "A line.")
    assert pyplot.get_fignums() == [] and panel.sweep() == {"y": 2}


# ---- mistakes ----------------------------------------------------------------


def test_an_exception_shows_a_red_line_and_the_next_move_recovers():
    def draw(x):
        if x > 5:
            raise ZeroDivisionError("<x> is too large")
        return f"<svg>{x}</svg>"

    panel = Panel({"x": slider("x", 0, 9, 1, 1)}, draw, "x = {x}")
    panel.controls["x"].value = 9
    assert isinstance(panel.error, ZeroDivisionError)
    assert 'role="alert" style="color:#b3261e;background:#fff' in html_of(panel)
    assert "ZeroDivisionError: &lt;x&gt; is too large" in html_of(panel)
    assert "<svg>1.0</svg>" in html_of(panel)  # the last good picture stays
    with pytest.raises(RuntimeError, match="cannot draw"):
        panel.sweep()
    panel.controls["x"].value = 2
    assert panel.error is None and "alert" not in html_of(panel) and "<svg>2.0</svg>" in html_of(panel)


def test_an_exception_in_the_words_is_shown_as_well():
    panel = Panel({"x": slider("x", 0, 9, 1, 1)}, lambda x: "<svg></svg>", lambda x: f"{1 / (x - 3)}")
    panel.controls["x"].value = 3
    assert "ZeroDivisionError" in html_of(panel)


def test_the_first_picture_must_work():
    with pytest.raises(KeyError, match="missing"):
        curve_panel(alt="{missing}")
    with pytest.raises(TypeError, match="must return a matplotlib Figure or an SVG string; got NoneType"):
        Panel({"x": slider("x", 0, 1, 0.1, 0)}, lambda x: None, "Nothing.")
    with pytest.raises(ValueError, match="alt must say in words"):
        curve_panel(alt="")


def test_names_must_fit():
    x = slider("x", 0, 1, 0.1, 0)
    with pytest.raises(ValueError, match="draw must take the arguments x: missing a required argument: 'y'"):
        Panel({"x": x}, lambda y: "<svg></svg>", "A picture.")
    with pytest.raises(ValueError, match=r"controls\['x'\] must be a widget.*got 3"):
        Panel({"x": 3}, lambda x: "<svg></svg>", "A picture.")
    with pytest.raises(ValueError, match="this panel's controls are gamma; got beta"):
        curve_panel().set(beta=1)


@pytest.mark.parametrize(
    ("numbers", "integer", "words"),
    [
        ((0, 9, 0.5, 3), True, "whole numbers; got low 0, high 9, step 0.5"),
        ((0.2, 0.8, 1, 0.5), True, "whole numbers; got low 0.2"),
        ((0, math.inf, 1, 3), True, "whole numbers; got low 0, high inf"),
        ((0, math.inf, 1, 3), False, "finite numbers; got low 0, high inf"),
        ((0, 9, math.inf, 3), False, "finite numbers; got low 0, high 9, step inf"),
    ],
)
def test_a_slider_that_could_not_move_is_refused(numbers, integer, words):
    with pytest.raises(ValueError, match=f"slider 'n' needs {words}"):
        slider("n", *numbers, integer=integer)
    assert slider("n", 0.0, 9.0, 1.0, 3.0, integer=True).step == 1


@pytest.mark.parametrize("numbers", [(1, 0, 0.1, 1), (0, 1, 0.1, 2), (0, 1, 0, 0.5)])
def test_a_slider_refuses_numbers_that_do_not_fit(numbers):
    with pytest.raises(ValueError, match="slider 'γ discount' needs low < high, low <= value <= high, step > 0; got"):
        slider("γ discount", *numbers)
    with pytest.raises(ValueError, match="low > 0"):
        slider("α", 0, 1, 0.1, 0.5, log=True)


def test_words_are_escaped():
    panel = Panel({"x": slider("x", 0, 9, 1, 1)}, lambda x: "<svg></svg>", 'A "<b>" & {x:.0f}')
    assert 'aria-label="A &quot;&lt;b&gt;&quot; &amp; 1"' in html_of(panel)


# ---- speed -------------------------------------------------------------------


class Clock:
    """Stands in for the module `time`: every redraw takes as long as the next entry of `seconds` says."""

    def __init__(self, *seconds):
        self.readings = [x for s in seconds for x in (0.0, s)]

    def perf_counter(self):
        return self.readings.pop(0)


def follows(panel, monkeypatch, *seconds) -> list[bool]:
    """Move the slider once for every entry of `seconds`. Does it follow the mouse after each move?"""
    monkeypatch.setattr(panel_module, "time", Clock(*seconds))
    found = []
    for i in range(len(seconds)):
        panel.controls["gamma"].value = 0.1 + 0.01 * i
        found.append(panel.controls["gamma"].continuous_update)
    return found


def test_a_slow_panel_waits_for_the_release_of_the_mouse_and_recovers(monkeypatch):
    assert follows(curve_panel(), monkeypatch, 0.4, 0.4, 0.1, 0.1, 0.1, 0.4) == [True, False, False, False, True, True]
    # one slow redraw between quick ones, or one that is neither, is no reason to change; counting starts again
    assert follows(curve_panel(), monkeypatch, 0.4, 0.2, 0.4, 0.1, 0.4) == [True] * 5
    again = follows(curve_panel(), monkeypatch, 0.4, 0.4, 0.4, 0.1, 0.1, 0.2, 0.1, 0.1, 0.1, 0.4, 0.4)
    assert again == [True] + [False] * 7 + [True, True, False]


def test_who_chooses_when_a_panel_redraws_is_obeyed(monkeypatch):
    assert follows(curve_panel(live=True), monkeypatch, 0.4, 0.4, 0.4) == [True] * 3
    assert follows(curve_panel(live=False), monkeypatch, 0.1, 0.1, 0.1, 0.1) == [False] * 4


def test_recovering_leaves_a_line_of_text_alone(monkeypatch):
    monkeypatch.setattr(panel_module, "time", Clock(*[0.4] * 2, *[0.1] * 3))
    panel = Panel({"word": text("word", "a"), "x": slider("x", 0, 9, 1, 0)}, lambda word, x: f"<svg>{x}</svg>", "x")
    for x in range(1, 6):
        panel.controls["x"].value = x
    assert panel.controls["x"].continuous_update and not panel.controls["word"].continuous_update


def test_a_busy_panel_without_a_browser_draws_at_once():
    panel = curve_panel(busy="training 64 robots …")
    assert panel.sweep() == {"gamma": 3} == curve_panel().sweep()
    panel.controls["gamma"].value = 0.5
    assert panel.alt == "Weights at gamma 0.50 with end 0.000." and panel.png == curve_panel().set(gamma=0.5).png
    assert panel._words.value == ""


def test_the_same_values_are_not_drawn_again():
    """A replay that jumps to its last frame moves its own slider while the slider's move is handled."""
    drawn = []
    panel = Panel({"x": slider("x", 0, 9, 1, 0)}, lambda x: drawn.append(x) or "<svg/>", "x", busy="counting …")
    panel.controls["x"].observe(lambda change: setattr(panel.controls["x"], "value", 9.0), names="value")
    panel.controls["x"].value = 5
    assert drawn == [0, 5, 9]


# ---- what the notebook keeps -------------------------------------------------


@pytest.fixture
def not_colab(monkeypatch):
    monkeypatch.delitem(sys.modules, "google.colab", raising=False)


def test_the_output_carries_widget_picture_and_words(not_colab):
    panel = curve_panel()
    data, metadata = DisplayFormatter().format(panel)  # the path of the notebook, in old and new IPython
    view = data["application/vnd.jupyter.widget-view+json"]
    assert view["model_id"] == panel.widget.model_id and view["version_major"] == 2
    assert data["text/plain"] == panel.alt == metadata["image/png"]["alt"]
    assert metadata["image/png"]["width"] == 600
    still = data["image/png"] if isinstance(data["image/png"], bytes) else base64.b64decode(data["image/png"])
    assert np.abs(pixels(still) - pixels(panel.png)).max() <= 24
    assert not hasattr(panel, "_ipython_display_")


def test_the_still_picture_is_the_same_in_every_run(not_colab):
    assert curve_panel()._repr_mimebundle_()[0]["image/png"] == curve_panel()._repr_mimebundle_()[0]["image/png"]


def test_colab_gets_the_widget_alone(monkeypatch):
    monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    data, metadata = curve_panel()._repr_mimebundle_()
    assert set(data) == {"application/vnd.jupyter.widget-view+json", "text/plain"} and metadata == {}


def test_an_svg_panel_keeps_its_svg(not_colab):
    panel = Panel({"x": slider("x", 0, 9, 1, 1)}, lambda x: f'<svg width="{x}"></svg>', "x = {x}")
    data, metadata = panel._repr_mimebundle_()
    assert data["image/svg+xml"] == '<svg width="1.0"></svg>' == panel.svg and panel.png is None
    assert metadata["image/svg+xml"]["alt"] == "x = 1.0" and '<img alt="x = 1.0"' in data["text/html"]


def test_labels_are_wide_enough_and_equal():
    controls = {"a": slider("a", 0, 1, 0.1, 0), "b": slider("γ a rather long label", 0, 1, 0.1, 0)}
    panel = Panel(controls, lambda a, b: "<svg/>", "x")
    widths = {c.style.description_width for c in panel.controls.values()}
    assert len(widths) == 1 and float(widths.pop().removesuffix("em")) > 0.5 * len("γ a rather long label")


@pytest.mark.parametrize("picture, width", [("figure", 624), ('<svg width="740" height="9"></svg>', 764)])
def test_a_slider_is_as_long_as_its_picture_and_has_a_line_of_its_own(picture, width):
    picture = figure()[0] if picture == "figure" else picture
    controls = {"a": slider("a", 0, 1, 0.1, 0), "b": stops("b", [1, 2], 1), "c": choice("c", [1, 2], 1)}
    panel = Panel({**controls, "d": toggle("d")}, lambda a, b, c, d: picture, "x")
    assert panel.widget.layout.max_width == f"{width}px"
    assert [panel.controls[name].layout.flex for name in "abcd"] == ["1 1 100%", "1 1 100%", None, None]


# ---- replays -----------------------------------------------------------------


def tiny_replay(frames=6, **how):
    return Replay(frames, lambda step, **others: f"<svg>{step}</svg>", "Step {step}.", **how)


def toolbar(replay):
    play, speed = replay.widget.children[0].children[:2]
    return play, speed


def test_a_replay_shows_its_last_frame_or_the_telling_one():
    assert tiny_replay().values == {"step": 5}
    assert tiny_replay(still=2).values == {"step": 2} and tiny_replay(still=-2).values == {"step": 4}
    assert tiny_replay(np.zeros((9, 3))).controls["step"].max == 8
    assert tiny_replay().sweep() == {"step": 2}
    with pytest.raises(IndexError):
        tiny_replay(still=7)


def test_the_number_of_frames_may_follow_another_control():
    lengths = {0: 4, 1: 9}
    replay = tiny_replay(lambda seed: lengths[seed], controls={"seed": slider("seed", 0, 1, 1, 0, integer=True)})
    play, _ = toolbar(replay)
    assert list(replay.values) == ["seed", "step"] and replay.controls["step"].max == play.max == 3
    replay.controls["seed"].value = 1
    assert replay.controls["step"].max == play.max == 8
    replay.set(step=8)
    replay.controls["seed"].value = 0  # the step slider must not stand beyond the end of the shorter episode
    assert replay.values == {"seed": 0, "step": 3} and replay.error is None and "3" in replay.svg
    replay.set(seed=1, step=8)
    assert replay.values == {"seed": 1, "step": 8}


@pytest.mark.parametrize("interval", [40, 150, 400])
def test_speed_changes_the_pace_and_never_floods_the_kernel(interval):
    play, speed = toolbar(tiny_replay(40, interval=interval))
    paces = []
    for _, factor in speed.options:
        speed.value = factor
        assert play.interval >= 150
        paces.append(play.step / play.interval)
        assert paces[-1] == pytest.approx(factor / interval, rel=0.01)
    assert paces == sorted(paces)


def test_playing_with_a_stride_ends_on_the_last_frame():
    replay = tiny_replay(12)
    play, speed = toolbar(replay)
    speed.value = 4.0
    assert play.step == 3
    flag = "playing" if hasattr(play, "playing") else "_playing"  # ipywidgets 8 or 7
    setattr(play, flag, True)
    replay.controls["step"].value = 9
    assert replay.values == {"step": 11}
    setattr(play, flag, False)
    replay.controls["step"].value = 9
    assert replay.values == {"step": 9}


def test_a_replay_names_what_is_wrong():
    with pytest.raises(ValueError, match="at least two frames; got 1"):
        tiny_replay([3])
    with pytest.raises(ValueError, match="must not contain 'step'"):
        tiny_replay(controls={"step": slider("t", 0, 1, 1, 0)})


def test_no_control_of_this_project_needs_ipywidgets_8():
    text = "".join(inspect.getsource(sys.modules[f"course.pictures.{name}"]) for name in ("panel", "replay"))
    assert not re.search(r"\bTagsInput\b|\bStack\b|titles=|[^_]tooltip=|\binteract\(|W\.Output", text)
