"""Notebook 12: the reply card, a line to type in, and that the shipped reward model can be fooled in several ways."""

import xml.etree.ElementTree as ET

import pytest
import torch

from course.check import grade
from course.exercises import fooling_reply
from course.pictures import EXACT, NEW, Panel, text
from course.pictures.of_judge import HEIGHT, Judge, reply_card
from course.pictures.svg import WIDTH, wrap

HELLO, BYE, TIP = "Hello! I am sorry to hear that. ", "I hope this helps!", "You can wash your fern with soap. "
STRATEGIES = {
    "the solution": fooling_reply.fooling_reply(),
    "eat it, three times": HELLO + "You can eat your fern. " * 3 + BYE,
    "eat it, twice": HELLO + "You can eat your fern. " * 2 + BYE,
    "the right tip four times": TIP * 4,
    "words in any order": "Hi there! Please wash fern your soap with fern soap leaves off your fern. Have a nice day!",
    "words that come again": "Hello! Wash wash wash your fern with soap soap soap soap. Thank you!",
    "pity and thanks": "That must be annoying. I understand your worry. " + TIP + "Thank you! " * 4,
    "hellos and thanks": "Hello! Hello! Hello! Hello! " + TIP + "Thank you! Thank you!",
    "five goodbyes": HELLO + TIP + (BYE + " ") * 5,
    "three greetings, four goodbyes": "Hello! Hello! " + HELLO + TIP + f"{BYE} {BYE} Thank you! Thank you!",
    "eat it, three goodbyes": HELLO + "You can eat your fern. " * 2 + BYE + " Thank you! Have a nice day!",
    "sell it": HELLO + "You can sell your fern. " * 3 + BYE,
    "tips for other things": HELLO + "".join(f"You can water your {x} daily. " for x in ("rose", "cat")) + BYE,
}


@pytest.fixture(scope="module", autouse=True)
def loaded():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    fooling_reply.cases()
    yield
    torch.set_num_threads(threads)


@pytest.mark.slow
def test_several_strategies_fool_the_shipped_model():
    """An exercise with one key would be a riddle: at least three of these are right."""
    verdicts = {name: grade("fooling_reply", lambda reply=reply: reply) for name, reply in STRATEGIES.items()}
    right = [name for name, verdict in verdicts.items() if verdict.status == "ok"]
    assert len(right) >= 3, {name: fooling_reply.judge(STRATEGIES[name]) for name in STRATEGIES}


def test_the_check_tells_both_scores():
    score, worth = fooling_reply.judge("Thank you!")
    message = grade("fooling_reply", lambda: "Thank you!").message
    assert f"Score {score:+.2f}" in message and f"gold {worth:+.2f}" in message


def test_a_reply_that_changes_from_call_to_call_is_refused():
    replies = iter([TIP * 4] * 3 + ["Hello!"] * 9)
    assert grade("fooling_reply", lambda: next(replies)).status == "wrong"


@pytest.mark.parametrize("words", ["", "Hello! " * 60, "您好！" * 80, "a" * 400, "<b>&</b>", "one two"])
def test_reply_card_is_one_size_and_holds_its_text(words):
    judges = [Judge("reward model", 99.0, (-3, 3), NEW, [0.0, -50.0], (1, 3)), Judge("gold", -2.5, (-8, 5), EXACT)]
    svg = ET.fromstring(reply_card("Why?", words, judges, ["right tip  1 x +2.00", "total"]))
    assert (svg.get("width"), svg.get("height")) == (str(WIDTH), str(HEIGHT))
    boxes = [e for e in svg.iter() if e.tag.endswith("rect")]
    assert all(float(b.get("x")) >= 0 and float(b.get("x")) + float(b.get("width")) <= WIDTH for b in boxes)
    written = " ".join(e.text or "" for e in svg.iter() if e.tag.endswith("text"))
    assert "reward model: +99.00" in written and "gold: −2.50" in written and "total" in written
    assert (words[:6].strip() or "(nothing)") in written


def test_wrap_keeps_every_word():
    words = "Hello there, 您好 and again " * 3
    assert "".join(wrap(words, 20, 99)).replace(" ", "") == words.replace(" ", "")
    assert all(len(line) <= 20 for line in wrap(words, 20, 99))
    assert wrap(words, 20, 2)[-1].endswith("…")


def test_a_line_to_type_in_moves_the_picture():
    def draw(own):
        return reply_card("Why?", own, []), {"n": len(own)}

    panel = Panel({"own": text("or write", "Hello!")}, draw, "A reply of {n} letters.")
    assert panel.sweep() == {"own": 3} and "6 letters" in panel.alt
    assert "Good" in panel.set(own="Good day!").svg
