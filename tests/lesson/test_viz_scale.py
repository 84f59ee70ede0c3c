"""Pictures of scale: the numbers they claim to show, one size at all settings, well-formed whatever they are given."""

from types import SimpleNamespace
from xml.etree import ElementTree

import pytest

from course.pictures.of_gpu import GIB, batch_card, cards, key_table, memory_card, score_and_gold, words_card
from course.pictures.svg import WIDTH
from ppo_lesson import bridge

SVG = "{http://www.w3.org/2000/svg}"


def parsed(svg):
    return ElementTree.fromstring(svg)


def words(svg):
    return [text.text or "" for text in parsed(svg).iter(f"{SVG}text")]


def widths(svg):
    return [float(r.get("width")) for r in parsed(svg).iter(f"{SVG}rect")]


def a_plan(weights, gradients, optimizer, peak):
    return SimpleNamespace(weights=weights * GIB, gradients=gradients * GIB, optimizer=optimizer * GIB, peak=peak * GIB)


@pytest.mark.parametrize(("gib", "count"), [(0.1, 1), (15, 1), (15.1, 2), (45, 3), (2700, 180)])
def test_how_many_gpus_hold_it(gib, count):
    assert cards(gib * GIB, 15) == count


def test_bars_are_as_long_as_their_bytes():
    """weights, what learns, the rest; both bars on one scale."""
    svg = memory_card("m", {"whole": a_plan(10, 10, 20, 50), "thin": a_plan(5, 0, 5, 25)}, card=80)
    a, b, c, d, e, f = widths(svg)[:6]
    assert b == pytest.approx(3 * a, rel=0.01) and c == pytest.approx(a, rel=0.01)
    assert (
        d == pytest.approx(a / 2, rel=0.02) and d == pytest.approx(e, rel=0.02) and f == pytest.approx(3 * e, rel=0.02)
    )
    assert "whole: 50.0 GiB, 1 GPU of 80 GiB" in words(svg)


def test_a_line_stands_where_each_gpu_is_full():
    svg = memory_card("m", {"whole": a_plan(10, 10, 20, 50)}, card=20)
    lines = [float(line.get("x1")) for line in parsed(svg).iter(f"{SVG}line")]
    assert "whole: 50.0 GiB, at least 3 GPUs of 20 GiB" in words(svg)
    assert len(lines) == 2 and lines[1] - lines[0] == pytest.approx(lines[0] - 8, abs=0.2)  # the third ends outside
    assert not list(parsed(memory_card("m", {"x": a_plan(1, 1, 1, 999)}, card=1)).iter(f"{SVG}line"))


@pytest.mark.parametrize(
    ("sizes", "epochs", "boxes", "says"),
    [
        ((64, 1, 64, 1, 1, 8), 1, 1, "Nothing is ever clipped"),
        ((64, 1, 16, 1, 1, 8), 1, 4, "the other 3 steps"),
        ((64, 1, 16, 3, 1, 8), 3, 12, "the other 11 steps may clip"),
        ((1024, 1, 16, 1, 1, 8), 1, 16, "the other 63"),
        ((10, 1, 4, 1, 1, 2), 1, 3, "(2 empty ones fill the last)"),
    ],
)
def test_a_box_for_every_step(sizes, epochs, boxes, says):
    svg = batch_card(bridge.optimizer_steps(*sizes), epochs=epochs)
    assert len(widths(svg)) == boxes and any(says in line for line in words(svg))


def test_a_box_is_cut_into_micro_batches():
    found = bridge.optimizer_steps(64, 1, 64, 1, 1, 16)
    assert len(list(parsed(batch_card(found)).iter(f"{SVG}line"))) == 4 - 1


def test_batch_card_keeps_its_size_and_shows_a_refusal():
    svgs = [batch_card(bridge.optimizer_steps(64, 1, 16, 4), epochs=4), batch_card("16 must be at least 64 <&>")]
    assert len({(parsed(svg).get("width"), parsed(svg).get("height")) for svg in svgs}) == 1
    assert any("<&>" in line for line in words(svgs[1]))


def test_words_side_by_side():
    svg = words_card([("a=1", ["x=1", "y" * 200]), ("b=2", [])], ["lost: " + "word " * 60, "<&>"], right="verl")
    shown = words(svg)
    assert {"a=1", "x=1", "b=2", "(no word for it)", "<&>", "verl"} <= set(shown)
    assert all(len(line) <= 104 for line in shown) and parsed(svg).get("width") == str(WIDTH)
    assert int(parsed(words_card([], height=300)).get("height")) == 300


def test_key_table_holds_every_key_and_trap():
    table = parsed(
        key_table(bridge.table(), list(bridge.command_line.LIBRARIES.values()))
        .replace("<br>", "<br/>")
        .replace("<wbr>", "")
    )
    rows = list(table.iter("tr"))
    assert len(rows) == 1 + len(bridge.table())
    shown = "".join(rows[2].itertext())
    assert "data.train_batch_size" in shown and "default 1024" in shown and "Trap:" in shown


def test_score_and_gold_stand_in_one_plot_a_price():
    def looks(*golds):
        return [{"iteration": 5 * i, "held": {"score": i, "gold": gold}} for i, gold in enumerate(golds)]

    runs = {"β = 0.1": looks(1, 2), "β = 0": looks(1, 2, -4)}
    fig = score_and_gold(runs, {"β = 0": [looks(1, 0, -3), looks(0, 0, 0)]})
    first, second = fig.axes
    assert [len(ax.lines) for ax in (first, second)] == [2, 6] and first.get_title() == "β = 0.1"
    gold = next(line for line in second.lines if line.get_label().startswith("gold"))
    assert gold.get_xydata().tolist() == [[0, 1], [5, 2], [10, -4]]
    assert max(line.get_linewidth() for line in second.lines[:2]) < gold.get_linewidth(), "other seeds are thinner"
    words = ["score: reward model", "thin: another seed", "gold: true worth"]
    assert [text.get_text() for text in second.get_legend().get_texts()] == words, "what every line is"
