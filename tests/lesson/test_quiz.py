"""Quizzes and predictions: complete, answerable by clicking, readable without a front end, never in the way."""

import html
import re

import ipywidgets as W
import pytest

from course.check import message, predict, prediction, quiz, records, reset, reveal
from course.check.index import NOTEBOOKS, find_prediction, notebook
from course.check.prediction import prediction_widget, reveal_widget
from course.check.quizzes import quiz_page, quiz_text, quiz_widget
from course.check.spec import Choice, Question

KEY = find_prediction("moves")
CHOICES = ["surely not this", KEY.answer, "nor this"]
TWO = [
    Question("One?", [Choice("yes", True, "because"), Choice("no", False, "that is not so")]),
    Question(
        "Is `a < b`?",
        [
            Choice("a", False, "the wrong way"),
            Choice("b & c", True, "right way"),
            Choice("d", False, "neither of them"),
        ],
    ),
]


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("PPO_LESSON_HOME", str(tmp_path))
    monkeypatch.setitem(records._state, "memory", None)
    prediction._waiting.clear()


# ---- what authors write ------------------------------------------------------


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_quiz_is_complete(name):
    asked = notebook(name).quiz
    assert len(asked) == 5
    assert len({q.text for q in asked}) == 5
    for question in asked:
        assert 3 <= len(question.choices) <= 5
        assert sum(c.correct for c in question.choices) == 1, question.text
        assert len({c.text for c in question.choices}) == len(question.choices)
        assert all(c.text.strip() and len(c.why) > 15 for c in question.choices), question.text
        assert len({c.why for c in question.choices}) == len(question.choices), "each choice has its own explanation"
        said = ("Right.", "Not this one.")  # the page says it already
        assert not any(c.why.startswith(said) for c in question.choices), question.text


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_right_letter_and_length_give_nothing_away(name):
    asked = notebook(name).quiz
    right = [[c.correct for c in q.choices].index(True) for q in asked]
    assert len(set(right)) >= 3, (
        f"use at least three letters; now the right choices are number {[i + 1 for i in right]}"
    )
    longest = [max(q.choices, key=lambda c: len(c.text)).correct for q in asked]
    assert sum(longest) <= 3, "the longest choice is the right one too often"


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_predictions_are_complete(name):
    keys = notebook(name).predictions
    assert keys
    for id, key in keys.items():
        assert re.fullmatch(r"[a-z][a-z0-9_]*", id)
        assert key.answer.strip() and len(key.why) > 30


# ---- predictions -------------------------------------------------------------


def test_prediction_is_recorded_and_revealed(capsys):
    form = prediction_widget("moves", CHOICES)
    form.button.click()
    assert "Choose an answer first." in form.status.value and records.read()["predictions"] == {}
    form.radio.value = KEY.answer
    assert records.read()["predictions"] == {}, "moving through the choices records nothing"
    form.button.click()
    assert records.read()["predictions"]["moves"] == {"choice": KEY.answer}
    reveal("moves")
    out = capsys.readouterr().out
    assert out.startswith(f"✓ You predicted: {KEY.answer}. Right.") and KEY.why in out


def test_wrong_prediction_may_be_changed_before_the_reveal_only(capsys):
    form = prediction_widget("moves", CHOICES)
    for choice in (CHOICES[0], CHOICES[2]):
        form.radio.value = choice
        form.button.click()
    reveal("moves")
    assert capsys.readouterr().out.startswith(f"✗ You predicted: {CHOICES[2]}.")
    form.radio.value = KEY.answer
    form.button.click()
    assert "Not counted" in form.status.value
    assert records.read()["predictions"]["moves"]["choice"] == CHOICES[2]


def test_run_all_spends_no_prediction(capsys):
    """`predict` and its `reveal` have both run before anything was answered."""
    form = prediction_widget("moves", CHOICES)
    reveal("moves")
    assert records.read()["predictions"] == {}, "a reveal that nobody has answered or opened leaves no trace"
    shown = prediction._waiting["moves"]
    assert KEY.answer not in shown.answer.value and shown.button.layout.display != "none"
    form.radio.value = KEY.answer
    form.button.click()
    assert records.read()["predictions"]["moves"] == {"choice": KEY.answer, "shown": True}
    for value in (form.status.value, shown.answer.value):
        assert f"You predicted: {KEY.answer}. Right." in value and message.markup(KEY.why) in value
    assert "Recorded: " in form.status.value and shown.button.layout.display == "none"
    before = form.status.value
    form.button.click()  # a double click: what counted still counts, and its answer stays in place
    assert form.status.value == before
    form.radio.value = CHOICES[0]
    form.button.click()
    assert "Not counted" in form.status.value and records.read()["predictions"]["moves"]["choice"] == KEY.answer


def test_answer_opens_only_where_reveal_has_run(capsys):
    reveal("moves")
    earlier = prediction._waiting["moves"]
    reveal("moves")  # the cell ran again: its output has another form now
    form, other = prediction_widget("moves", CHOICES), prediction_widget("optimum", ["a", "b"])
    other.radio.value = "a"
    other.button.click()
    assert "Answer: " not in other.status.value and KEY.answer not in prediction._waiting["moves"].answer.value
    form.radio.value = CHOICES[0]
    form.button.click()
    assert "came out differently" in form.status.value and KEY.answer not in earlier.answer.value
    assert "moves" not in prediction._waiting
    capsys.readouterr()
    reveal("moves")
    assert capsys.readouterr().out.startswith(f"✗ You predicted: {CHOICES[0]}.") and not prediction._waiting


def test_prediction_after_the_answer_was_opened_does_not_count():
    shown = reveal_widget("moves")
    shown.button.click()
    assert 'No prediction recorded. <code>reset("moves")</code> starts this question over.' in shown.answer.value
    assert message.markup(KEY.why) in shown.answer.value and shown.button.layout.display == "none"
    form = prediction_widget("moves", CHOICES)
    form.radio.value = KEY.answer
    form.button.click()
    assert "Not counted" in form.status.value and "choice" not in records.read()["predictions"]["moves"]
    reset("moves")
    form.button.click()
    assert records.read()["predictions"]["moves"] == {"choice": KEY.answer}


def test_button_compares_with_an_answer_of_another_kernel():
    """The same notebook in a second kernel has recorded an answer since this reveal ran."""
    shown = reveal_widget("moves")
    records.update("predictions", "moves", lambda entry: {"choice": KEY.answer})
    shown.button.click()
    assert f"You predicted: {KEY.answer}. Right." in shown.answer.value


@pytest.mark.parametrize(
    "old, counts",
    [
        ({"revealed": True}, True),  # spent by a Run All, unseen: given back
        ({"revealed": False}, True),
        ({"choice": CHOICES[0], "revealed": True}, False),
        ({"choice": CHOICES[0]}, True),
        ({"shown": True}, False),
        ({"choice": 5, "shown": "yes"}, True),
    ],
)
def test_records_of_earlier_versions_are_read(old, counts):
    records.update("predictions", "moves", lambda entry: old)
    form = prediction_widget("moves", CHOICES)
    form.radio.value = KEY.answer
    form.button.click()
    assert ("Not counted" not in form.status.value) is counts
    assert (records.read()["predictions"]["moves"].get("choice") == KEY.answer) is counts


def test_without_a_front_end_the_answer_is_folded(monkeypatch):
    seen = []
    monkeypatch.setattr(message, "emit", lambda page, text, widget=None: seen.append((page, text, widget)))
    reveal("moves")
    page, text, widget = seen.pop()
    folded = page[page.index("<details>") : page.index("</details>")]
    assert page.count("<details>") == 1 and "<summary>Show the answer</summary>" in page
    assert message.markup(KEY.answer) in folded and message.markup(KEY.answer) not in page.replace(folded, "")
    assert KEY.answer in text and widget is prediction._waiting["moves"]
    records.update("predictions", "moves", lambda entry: {"choice": KEY.answer})
    reveal("moves")
    page, text, widget = seen.pop()
    assert "<details>" not in page and widget is None and text.startswith("✓")


def test_recorded_prediction_is_shown_when_the_cell_runs_again():
    form = prediction_widget("moves", CHOICES)
    form.radio.value = CHOICES[2]
    form.button.click()
    again = prediction_widget("moves", CHOICES)
    assert again.radio.value == CHOICES[2] and CHOICES[2] in again.status.value
    assert prediction_widget("moves", CHOICES[:2]).radio.value is None, "a choice that is gone is not shown"


def test_static_prediction_does_not_tell_the_answer(capsys):
    assert predict("moves", CHOICES, "Which one?") is None
    expected = f"Predict moves: Which one?\n  A. {CHOICES[0]}\n  B. {CHOICES[1]}\n  C. {CHOICES[2]}\n"
    assert capsys.readouterr().out == expected


@pytest.mark.parametrize("choices", [["a", "b"], [KEY.answer], [KEY.answer, "a", "a"], []])
def test_prediction_must_fit_its_key(choices):
    with pytest.raises(ValueError, match=r"choices of prediction 'moves' must be different and contain the answer"):
        predict("moves", choices)


def test_unknown_prediction():
    with pytest.raises(ValueError, match=r"there is no prediction '00.q77'"):
        predict("00.q77", ["a", "b"])
    with pytest.raises(ValueError, match=r"no prediction '01.q1'; did you mean 'optimum'"):
        reveal("01.q1")


# ---- quizzes -----------------------------------------------------------------


def test_quiz_by_clicking():
    form = quiz_widget("start", TWO)
    form.radios[0].value = "no"
    form.button.click()
    assert "that is not so" in form.feedback[0].value and "Not this one" in form.feedback[0].value
    assert form.feedback[1].value == "" and "1 of 2 not answered" in form.status.value
    assert records.read()["quizzes"] == {}
    form.radios[1].value = "b & c"
    form.button.click()
    assert "Right. right way" in form.feedback[1].value and "1 of 2 right" in form.status.value
    assert records.read()["quizzes"]["start"] == {"first": 1, "best": 1, "of": 2}
    form.radios[0].value = "yes"
    form.button.click()
    form.radios[0].value = "no"
    form.button.click()
    assert records.read()["quizzes"]["start"] == {"first": 1, "best": 2, "of": 2}


def test_quiz_without_a_front_end():
    page, text = quiz_page("start", TWO), quiz_text("start", TWO)
    assert page.count("<details>") == page.count("</details>") == 5 and "<details open" not in page
    for question in TWO:
        for choice in question.choices:
            assert f". {html.escape(choice.text)}</summary>" in page and choice.why in page
            assert f". {choice.text}" in text and choice.why not in text
    assert "Is <code>a &lt; b</code>?" in page and "2. Is `a < b`?" in text


def test_quiz_prints_the_questions_once(capsys):
    assert quiz("start") is None
    out = capsys.readouterr().out
    assert out.startswith("Quiz start\n1. ") and "True" not in out
    with pytest.raises(ValueError, match="there is no notebook '77'"):
        quiz("77")


def test_only_core_widgets_that_ipywidgets_7_has_too():
    def kinds(widget):
        return {type(widget)} | {k for child in getattr(widget, "children", ()) for k in kinds(child)}

    forms = quiz_widget("start", TWO), prediction_widget("moves", CHOICES), reveal_widget("moves")
    used = set().union(*map(kinds, forms))
    assert used <= {W.VBox, W.HTML, W.RadioButtons, W.Button}
