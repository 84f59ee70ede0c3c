"""The look of figures: colours with a meaning, PNG bytes that never change, nothing of pyplot touched."""

import doctest
import io
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from PIL import Image

from course.pictures import dots, figure, key, number, show, stroke, style
from course.pictures.of_start import ROADMAP_ALT, roadmap

MEANINGS = ("POSITIVE", "NEGATIVE", "NEW", "OLD", "REFERENCE", "ESTIMATE", "EXACT", "MUTED")


def example():
    fig, ax = figure(xlabel="steps", ylabel="weight")
    ax.plot(np.arange(20), 0.9 ** np.arange(20), **stroke(style.NEW), label="γ = 0.9")
    key(ax)
    return fig


def chunks(data: bytes) -> list[bytes]:
    """The names of a PNG's chunks, in order."""
    names, at = [], 8
    while at < len(data):
        names.append(data[at + 4 : at + 8])
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    return names


def test_no_two_meanings_look_alike_in_black_and_white():
    colours = {name: getattr(style, name) for name in MEANINGS}
    looks = {name: (str(stroke(c)["linestyle"]), dots(c)["marker"]) for name, c in colours.items()}
    assert len(set(colours.values())) == len(MEANINGS)
    assert len(set(looks.values())) == len(MEANINGS)
    for a, b in (("POSITIVE", "NEGATIVE"), ("NEW", "OLD"), ("EXACT", "ESTIMATE"), ("NEW", "REFERENCE")):
        assert looks[a][0] != looks[b][0] and looks[a][1] != looks[b][1]


def test_names_are_neutral_and_told_apart_in_black_and_white():
    """A series that only has a name takes no colour that means something, and is not only told by colour."""
    looks = {c: (str(stroke(c)["linestyle"]), dots(c)["marker"]) for c in style.NAMES}
    assert len({line for line, _ in looks.values()}) == len({marker for _, marker in looks.values()}) == 3
    for colour in style.NAMES:
        rgb, white = (style.luminance(matplotlib.colors.to_rgba_array(c)[0, :3] * 255) for c in (colour, "white"))
        assert (white + 0.05) / (rgb + 0.05) >= 3  # WCAG's least for graphics
        for name in MEANINGS:
            if name not in ("MUTED", "EXACT"):  # greys: those are told by being grey
                far = matplotlib.colors.to_rgba_array([colour, getattr(style, name)])[:, :3]
                assert np.abs(far[0] - far[1]).max() > 0.15


def test_a_figure_changes_no_setting():
    before = dict(matplotlib.rcParams)
    _, axes = figure(2, 2, title="same on each")
    assert axes.shape == (2, 2) and {ax.get_title() for ax in axes.flat} == {"same on each"}
    assert dict(matplotlib.rcParams) == before


@pytest.mark.slow
def test_pyplot_is_not_loaded():
    code = "import sys, course.pictures; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_letters_are_at_least_ten_points():
    fig = example()
    fig.canvas.draw()  # makes the numbers of the axes
    texts = [t for t in fig.findobj(matplotlib.text.Text) if t.get_text()]
    assert len(texts) > 10 and min(t.get_fontsize() for t in texts) >= 10


@pytest.mark.parametrize("small", [False, True])
def test_png_bytes_are_the_same_every_time_and_carry_no_date(small):
    first, second = (style.png(style.render(example()), small=small) for _ in range(2))
    assert first == second
    assert set(chunks(first)) <= {b"IHDR", b"PLTE", b"IDAT", b"IEND"}


def test_the_quick_png_loses_nothing():
    image = style.render(example(), dpi=100)
    again = Image.open(io.BytesIO(style.png(image)))
    assert again.mode == "RGB" and np.array_equal(np.asarray(again), np.asarray(image))


def test_the_small_png_keeps_flat_colours_exactly_and_is_much_smaller():
    image = style.render(example())
    data = style.png(image, small=True)
    before, after = np.asarray(image).astype(int), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    assert np.abs(before - after).max() <= 24
    assert (before != after).any(-1).mean() < 0.02  # only soft edges
    assert len(data) < len(style.png(image)) / 2


def test_a_picture_with_too_many_colours_keeps_them_all():
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    again = Image.open(io.BytesIO(style.png(noise, small=True))).convert("RGB")
    assert np.array_equal(np.asarray(again), np.asarray(noise))


def test_show_gives_a_picture_with_words_and_no_second_one(monkeypatch):
    shown = []
    monkeypatch.setattr(style, "display", lambda data, **how: shown.append((data, how)))
    assert show(example(), "A curve\n falls.") is None
    (data, how), (below, _) = shown
    assert data["text/plain"] == "A curve falls."
    size = {"width": 600, "height": 300}
    assert how["raw"] and how["metadata"]["image/png"] == {"alt": "A curve falls.", **size, "unconfined": True}
    assert Image.open(io.BytesIO(data["image/png"])).size == (1200, 600)
    assert set(below) == {"text/html"} and "<summary>In words</summary>A curve falls.<" in below["text/html"]


@pytest.mark.parametrize("alt", ["", "  ", None, 3])
def test_a_picture_without_words_is_refused(alt):
    with pytest.raises(ValueError, match="alt must say in words"):
        show(example(), alt)


def test_numbers_read_well():
    assert doctest.testmod(style).failed == 0
    assert [number(x, 2) for x in (9.96, -0.004, 150, 0.5)] == ["10", "−0.0040", "150", "0.50"]
    assert number(float("-inf")) == "−inf"


def test_every_letter_of_the_road_map_stands_inside_it():
    fig = roadmap()
    fig.set_dpi(200)  # as `show` draws it
    fig.canvas.draw()
    boxes = [text.get_window_extent() for text in fig.axes[0].texts]
    assert all(box.x0 > 0 and box.y0 > 0 and box.x1 < fig.bbox.x1 and box.y1 < fig.bbox.y1 for box in boxes)
    words = [text.get_text() for text in fig.axes[0].texts]
    assert [f"{n:02}" in words for n in range(14)] == [True] * 14
    assert "clipped_surrogate" in ROADMAP_ALT
    for i, a in enumerate(boxes):
        assert not any(a.overlaps(b) for b in boxes[i + 1 :]), words[i]
    frames = [patch.get_window_extent() for patch in fig.axes[0].patches]
    for word, box in zip(words, boxes):  # and inside its own frame: the smallest that holds its left end
        y = (box.y0 + box.y1) / 2
        own = min((f for f in frames if f.contains(box.x0, y)), key=lambda f: f.width * f.height)
        assert box.x1 < own.x1 - 0.03 * fig.dpi and own.y0 < box.y0 and box.y1 < own.y1, word
