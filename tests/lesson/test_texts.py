"""Texts as data: an edit that no longer fits, a key that nobody knows and a lacking hint fail by name; languages."""

import inspect
import shutil

import pytest
import torch
from tiny_exercise import scaled_sum

from course.check import texts
from course.check.index import find, find_prediction
from course.edited import edited, source_of

ENGLISH = texts.FOLDER / "en"
TEXT = """\
title = "A scaled sum"
hints = ["one", "two", "three"]

[mistakes.divided]
edits = [["scale * x", "1 / scale * x"]]
hint = "You divided."
source = "nobody/nowhere issue 1"

[mistakes.no_scale]
edits = [["scale * x", "x"]]
hint = "The factor is missing."
"""
QUIZ = """\
title = "Test"
[predictions."q1"]
answer = "yes"
why = "because"
[[quiz]]
text = "One?"
choices = [{ correct = true, text = "yes", why = "so" }, { text = "no", why = "not so" }]
"""


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setattr(texts, "FOLDER", tmp_path)
    monkeypatch.delenv("PPO_LESSON_LANGUAGE", raising=False)
    (tmp_path / "en" / "notebooks").mkdir(parents=True)
    (tmp_path / "en" / "scaled_sum.toml").write_text(TEXT, "utf-8")
    (tmp_path / "en" / "notebooks/test.toml").write_text(QUIZ, "utf-8")
    return tmp_path


def in_chinese(folder, monkeypatch, name, text):
    (folder / "zh" / "notebooks").mkdir(parents=True, exist_ok=True)
    (folder / "zh" / f"{name}.toml").write_text(text, "utf-8")
    monkeypatch.setenv("PPO_LESSON_LANGUAGE", "zh")


# ---- edits -------------------------------------------------------------------


def test_a_wrong_answer_is_an_edit_of_the_right_one():
    x = torch.tensor([[1.0, 2.0]])
    wrong = edited(scaled_sum, {"scale * x": "1 / scale * x"}, "divided")
    assert wrong(x, 2.0).item() == 1.5 and scaled_sum(x, 2.0).item() == 6
    assert wrong.__name__ == "divided" and "1 / scale" in inspect.getsource(wrong)
    assert source_of(wrong).startswith("def divided(") and wrong.edits == {"scale * x": "1 / scale * x"}


def test_edits_come_in_order_and_keep_defaults():
    def power(x, by=2, *, plus=1):
        return x**by + plus

    assert edited(power, {"by + plus": "by - plus", "by - plus": "-by"})(2) == 0.25
    assert edited(power, {"+ plus": "- plus"})(3) == 8, "defaults of both kinds of argument"
    assert edited(power, {"+ plus": "- plus"}).__name__ == "power", "a name is given, or stays"


@pytest.mark.parametrize(("text", "times"), [("nowhere", 0), ("scale", 4)])
def test_an_edit_that_no_longer_fits_names_exercise_and_mistake(text, times, folder):
    words = f"tiny_exercise.scaled_sum must hold this text once, found {times} times: '{text}'"
    with pytest.raises(ValueError, match=f"divided: {words}"):
        edited(scaled_sum, {text: "x"}, "divided")
    file = folder / "en" / "scaled_sum.toml"
    file.write_text(TEXT.replace('["scale * x", "x"]', f'["{text}", "x"]'), "utf-8")
    with pytest.raises(ValueError, match=f"no_scale: {words}"):
        texts.of_exercise("scaled_sum", scaled_sum)


# ---- what a text must have -----------------------------------------------------


@pytest.mark.parametrize(
    ("was", "now", "told"),
    [
        (
            'hint = "You',
            'hnit = "You',
            r"scaled_sum.toml, mistake 'divided': unknown key 'hnit'; known are edits, hint",
        ),
        ('hint = "The factor is missing."', "", "mistake 'no_scale': 'hint' is missing or empty"),
        ('hint = "The factor is missing."', 'hint = ""', "mistake 'no_scale': 'hint' is missing or empty"),
        ('edits = [["scale * x", "x"]]', "", "mistake 'no_scale': 'edits' is missing or empty"),
        ('edits = [["scale * x", "x"]]', "edits = []", "mistake 'no_scale': 'edits' is missing or empty"),
        ('title = "A scaled sum"', "", r"scaled_sum.toml: 'title' is missing or empty"),
        ("title =", "titel = 1\ntitle =", r"scaled_sum.toml: unknown key 'titel'; known are title, hints, mistakes"),
        ('"three"', "", "scaled_sum.toml: hints must be three"),
        ('"three"', '""', "scaled_sum.toml: hints must be three"),
    ],
)
def test_a_text_that_lacks_something_is_refused_by_name(was, now, told, folder):
    assert len(texts.of_exercise("scaled_sum", scaled_sum)["mistakes"]) == 2
    assert TEXT.count(was) == 1
    (folder / "en" / "scaled_sum.toml").write_text(TEXT.replace(was, now), "utf-8")
    with pytest.raises(ValueError, match=told):
        texts.of_exercise("scaled_sum", scaled_sum)


@pytest.mark.parametrize(
    ("was", "now", "told"),
    [
        ('why = "because"', "", "notebooks/test.toml, prediction 'q1': 'why' is missing or empty"),
        ('title = "Test"', "", "notebooks/test.toml: 'title' is missing or empty"),
        ('why = "not so"', 'wyh = "not so"', "notebooks/test.toml, question 1, choice 'no': unknown key 'wyh'"),
        ('text = "One?"', "", "notebooks/test.toml, question 1: 'text' is missing or empty"),
    ],
)
def test_a_quiz_that_lacks_something_is_refused_by_name(was, now, told, folder):
    title, predictions, quiz = texts.of_notebook("test")
    assert (title, predictions["q1"].why, [c.correct for c in quiz[0].choices]) == ("Test", "because", [True, False])
    (folder / "en" / "notebooks/test.toml").write_text(QUIZ.replace(was, now), "utf-8")
    with pytest.raises(ValueError, match=told):
        texts.of_notebook("test")


# ---- another language --------------------------------------------------------


def test_another_language_says_again_what_it_has_and_the_rest_is_english(folder, monkeypatch):
    in_chinese(folder, monkeypatch, "scaled_sum", 'title = "按比例求和"\n[mistakes.divided]\nhint = "你用了除法。"\n')
    text = texts.of_exercise("scaled_sum", scaled_sum)
    assert text["title"] == "按比例求和" and text["hints"] == ["one", "two", "three"]
    divided, no_scale = text["mistakes"]
    assert (divided.hint, divided.source) == ("你用了除法。", "nobody/nowhere issue 1")
    assert divided.fn(torch.tensor([3.0]), 2.0).item() == 1.5, "code stands once, in the English file"
    assert no_scale.hint == "The factor is missing."
    assert texts.of_notebook("test")[0] == "Test", "a file that it lacks is said in English"


def test_a_translation_of_something_that_is_not_there_is_named(folder, monkeypatch):
    in_chinese(folder, monkeypatch, "scaled_sum", '[mistakes.divide]\nhint = "?"\n')
    with pytest.raises(
        ValueError, match=r"zh/scaled_sum.toml, 'mistakes': the English text has no 'divide'; it has div"
    ):
        texts.of_exercise("scaled_sum", scaled_sum)


def test_a_language_without_a_folder_is_refused(folder, monkeypatch):
    monkeypatch.setenv("PPO_LESSON_LANGUAGE", "de")
    with pytest.raises(ValueError, match="PPO_LESSON_LANGUAGE='de' has no texts here; there are en"):
        texts.of_notebook("test")


def test_the_whole_course_follows_the_chosen_language(folder, monkeypatch):
    shutil.copytree(ENGLISH, folder / "en", dirs_exist_ok=True)
    english = find("clip_fraction").title
    in_chinese(folder, monkeypatch, "clip_fraction", 'title = "被截断的比例"\n')
    in_chinese(folder, monkeypatch, "notebooks/clip", '[predictions."six_cases"]\nanswer = "两个"\n')
    assert find("clip_fraction").title == "被截断的比例" and find("keep_going").title
    assert find_prediction("six_cases").answer == "两个" and find_prediction("six_cases").why.startswith("The minimum")
    monkeypatch.setenv("PPO_LESSON_LANGUAGE", "")
    assert find("clip_fraction").title == english
