"""How pictures stand in a page: cards, stills, words, and letters that can be read."""

import base64
import re
from xml.etree import ElementTree

import pytest

from course.pictures import style
from course.pictures.page import LEAST, image, still, white_card, words
from course.pictures.style import luminance, readable
from course.pictures.svg import WIDTH, svg, text


def contrast(colour, ground="#FFFFFF"):
    """The WCAG 2 contrast of two colours."""
    light = [luminance([int(c[i : i + 2], 16) for i in (1, 3, 5)]) + 0.05 for c in (colour, ground)]
    return max(light) / min(light)


def test_luminance_is_that_of_the_standard():
    assert luminance((0, 0, 0)) == 0 and luminance((255, 255, 255)) == pytest.approx(1)
    assert contrast("#767676") == pytest.approx(4.54, abs=0.01)  # the well-known palest grey that passes
    assert contrast("#FF0000") == pytest.approx(4.0, abs=0.01)


@pytest.mark.parametrize("name", ["POSITIVE", "NEGATIVE", "NEW", "OLD", "REFERENCE", "ESTIMATE", "MUTED"])
def test_letters_in_every_colour_can_be_read(name):
    colour = getattr(style, name)
    assert contrast(readable(colour)) >= 5.5
    assert all(contrast(readable(colour), pale) >= 4.5 for pale in ("#DCEBF7", "#EEF0F3", "#F1F2F4"))
    before, after = ([int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in (colour, readable(colour)))
    assert before.index(max(before)) == after.index(max(after))  # darker, still the same hue


def test_what_is_dark_enough_stays_as_it_is():
    assert readable("#000000") == "#000000" and readable(style.INK) == style.INK


def test_an_svg_brings_its_own_ground_and_readable_letters():
    root = ElementTree.fromstring(svg([text(1, 2, "a < b\x00", style.MUTED)], 30))
    assert "background:#fff" in root.get("style") and (root.get("width"), root.get("height")) == (str(WIDTH), "30")
    (line,) = root
    assert line.text == "a < b�" and line.get("fill") == readable(style.MUTED) != style.MUTED


def test_a_still_holds_the_whole_picture_and_its_words():
    page = still("<svg width='9'/>", 'A "b" & c')
    assert 'alt="A &quot;b&quot; &amp; c"' in page and "background:#fff" in page
    data = base64.b64decode(re.search(r"data:image/svg\+xml;base64,([^\"]+)", page)[1])
    assert ElementTree.fromstring(data).tag == "{http://www.w3.org/2000/svg}svg"


def test_a_card_scrolls_before_its_picture_gets_too_small():
    page = white_card(image(b"x", "image/png", "A.", 740, 300), 740)
    assert "overflow-x:auto" in page and f"min-width:{round(740 * LEAST) + 16}px" in page
    assert 'width="740" height="300"' in page
    assert "px;min-width" not in white_card("<svg></svg>")  # a size that nobody knows is left alone


def test_words_are_escaped():
    assert "1 &lt; 2 &amp; 3" in words("1 < 2 & 3")
