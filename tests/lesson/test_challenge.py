"""The open task at the end of a notebook: a number beside the course's, and the best one kept."""

import json
import math

import pytest

from course.check import challenge, progress, records, reset


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("PPO_LESSON_HOME", str(tmp_path))
    monkeypatch.setitem(records._state, "memory", None)
    return tmp_path


def said(capsys, *args, **more):
    assert challenge(*args, **more) is None
    return capsys.readouterr().out


def test_nothing_tried_shows_the_goal_and_writes_nothing(home, capsys):
    out = said(capsys, "maze", None, 0.25, unit="J")
    assert out.startswith("○ Challenge: not tried yet.") and "own number: 0.25 J; higher is better" in out
    assert not list(home.iterdir())


def test_the_best_number_is_kept_whatever_comes_later(home, capsys):
    assert "0.2 J, not there yet" in said(capsys, "maze", 0.2, 0.25, unit="J")
    assert "0.3 J, ahead of the course" in said(capsys, "maze", 0.3, 0.25, unit="J")
    out = said(capsys, "maze", 0.1, 0.25, unit="J")
    assert "0.1 J, not there yet" in out and "Your best so far: 0.3 J." in out
    assert "level with the course" in said(capsys, "maze", 0.25, 0.25)
    kept = json.loads((home / "progress.json").read_text("utf-8"))["challenges"]
    assert kept == {"maze": {"best": 0.3, "beats": True}}


def test_lower_may_be_better(capsys):
    assert "not there yet" in said(capsys, "loop", 900, 800, better="lower")
    assert "ahead of the course" in said(capsys, "loop", 700, 800, better="lower")
    assert "Your best so far: 700." in said(capsys, "loop", 750, 800, better="lower")


@pytest.mark.parametrize("x", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_does_not_count(x, home, capsys):
    assert "is no score" in said(capsys, "maze", x, 0.25) and not list(home.iterdir())


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="no notebook 'mase'; did you mean 'maze'"):
        challenge("mase", 1.0, 0.0)
    with pytest.raises(ValueError, match='better is "higher" or "lower"; got \'more\''):
        challenge("maze", 1.0, 0.0, better="more")


def test_progress_shows_it_and_reset_forgets_it(capsys):
    said(capsys, "maze", 0.3, 0.25)
    progress()
    assert any(line.startswith("01") and line.endswith("0.3, ahead") for line in capsys.readouterr().out.splitlines())
    reset("maze")
    assert records.read()["challenges"] == {}
