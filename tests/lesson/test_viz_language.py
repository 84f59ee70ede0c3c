"""Pictures of a language model at work: well-formed SVG whatever a model writes, and the numbers they claim to show."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from course.pictures import svg as svg_helper
from course.pictures.of_gpu import words_card
from course.pictures.of_judge import reply_card
from course.pictures.of_tokens import shift_rows, stretches, texts, token_bars
from course.pictures.replies import side_by_side
from course.pictures.svg import stack
from course.pictures.tokens import token_strip

NASTY = ["<eos>", " &", "\x1b", "\ufffd", "", "\n", "您", '"', " slow"]
SVG = "{http://www.w3.org/2000/svg}"


def parsed(svg):
    return ElementTree.fromstring(svg)


def words(svg):
    return [text.text or "" for text in parsed(svg).iter(f"{SVG}text")]


@pytest.mark.parametrize(
    "svg",
    [
        token_bars(NASTY, [0.1] * 9, rest=0.1),
        stretches(NASTY, [1 / 9] * 9, 0.5, 4),
        shift_rows(NASTY, 3, 2, [-1.0] * 6),
        texts([("".join(NASTY), "".join(NASTY) * 20, "<b>")], title="<i>"),
        token_strip(NASTY, [0.0] * 9, label="<x>", details=["<y>"]),
    ],
    ids=["token_bars", "stretches", "shift_rows", "texts", "token_strip"],
)
def test_whatever_a_model_writes_is_well_formed(svg):
    assert parsed(svg).tag == f"{SVG}svg"
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", svg), "a control character is not allowed in SVG"


def test_a_bar_is_as_long_as_its_probability():
    widths = [float(r.get("width")) for r in parsed(token_bars(["a", "b"], [0.5, 0.25], rest=0.25)).iter(f"{SVG}rect")]
    assert widths[0] == 2 * widths[1] == 2 * widths[2]


def test_the_needle_points_at_the_chosen_stretch():
    svg = parsed(stretches(["a", "b", "c"], [0.2, 0.5, 0.3], 0.45, 1))
    chosen = list(svg.iter(f"{SVG}rect"))[1]
    at = float(re.match(r"M([\d.]+)", next(svg.iter(f"{SVG}path")).get("d"))[1])
    assert float(chosen.get("x")) < at < float(chosen.get("x")) + float(chosen.get("width"))


@pytest.mark.parametrize("t", [0, 1, 2])
def test_token_t_is_decided_in_column_p_minus_1_plus_t(t):
    svg = shift_rows(["x", "y", "A", "B", "C"], 2, t, [-0.5, -1.5, -2.5])
    framed = [r for r in parsed(svg).iter(f"{SVG}rect") if r.get("stroke-width") == "2.2"]
    assert [float(r.get("y")) for r in framed] == [24, 108] and framed[0].get("x") == framed[1].get("x")
    boxes = dict(zip([r.get("x") for r in parsed(svg).iter(f"{SVG}rect") if r.get("y") == "24"], "xyABC"))
    assert boxes[framed[0].get("x")] == "xyABC"[2 - 1 + t]
    assert any(line.startswith(f"log p = −{t + 0.5}") for line in words(svg))


def test_stacked_pictures_keep_their_heights_and_are_never_cut():
    one = token_bars(["a"], [1.0])
    high = int(parsed(one).get("height"))
    both = parsed(stack(one, one, height=high))
    assert int(both.get("height")) == 2 * high
    assert [part.get("y") for part in both.findall(f"{SVG}svg")] == ["0", str(high)]
    assert int(parsed(stack(one, height=500)).get("height")) == 500


def test_long_replies_are_wrapped_and_none_is_empty():
    shown = words(texts([("q", "word " * 40, "note"), ("q", "您" * 60, "note"), ("q", "", "note")], lines=2))
    assert shown.count("(nothing)") == 1
    assert all(len(line) <= 74 for line in shown) and sum("word" in line for line in shown) == 2
    assert sum("您" in line for line in shown) == 2
    assert sum(line.endswith("…") for line in shown) == 1  # 40 words do not fit, and say so; 60 characters do


def test_no_picture_cuts_words_silently():
    """Words that find no room end in "…", whichever picture shows them."""
    long = "word " * 60
    pair = ("prompt " * 30, (long, 0.0, 0.0), (long, 0.0, 0.0))
    assert sum(line.endswith("…") for line in words(texts([("q " * 60, long, "n")]))) == 2
    assert sum(line.endswith("…") for line in words(side_by_side("a", "b", [pair]))) == 3
    assert sum(line.endswith("…") for line in words(reply_card(long, long * 3, []))) == 2
    assert sum(line.endswith("…") for line in words(words_card([("x" * 99, ["y" * 99])], [long * 2]))) == 3
    assert not any("…" in line for line in words(texts([("q", "word " * 30, "n")])))


def test_every_svg_has_one_head_and_fonts_that_know_chinese():
    """Only `svg` writes the head and names the fonts; the film's head has a size of its own, and the same fonts."""
    for file in Path(svg_helper.__file__).parent.glob("*.py"):
        text = file.read_text("utf-8")
        if file.name != "svg.py":
            assert "font-family=" not in text, file.name
    assert all("CJK" in fonts for fonts in (svg_helper.SANS, svg_helper.MONO))


def test_a_strip_without_numbers_names_no_range():
    assert words(token_strip(["a"], [float("nan")], label="the text"))[-1] == "the text"
    assert words(token_strip(["a"], [1.0], label="p", low=0, high=2))[-1] == "p: pale 0, full 2.00"
    marked = token_strip(list("abcd"), [0.0] * 4, label="p", low=0, high=2, roles=["prompt", "reply", "end", "pad"])
    assert words(marked)[-1] == "p: pale 0, full 2.00; grey line: prompt; blue line: end; crossed out: padding"


def test_a_strip_around_zero_names_both_colours():
    shown = words(token_strip(["a"], [1.0], label="p", low=-3, high=2))
    assert shown[-1] == "p: full orange −3.00, white 0, full green 2.00"
