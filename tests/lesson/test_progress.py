"""The progress file: small, local, atomic, and never a reason for a cell to fail."""

import json
import os
import re
import sys
import threading

import pytest

from course.check import check, exercise, hint, message, predict, progress, records, reset, reveal
from course.check.index import NOTEBOOKS, find, find_prediction

progressing = sys.modules[progress.__module__]
HELLO, ANSWER = find("hello"), find_prediction("moves").answer


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("PPO_LESSON_HOME", str(tmp_path / "home"))
    monkeypatch.setitem(records._state, "memory", None)
    monkeypatch.setitem(records._state, "warned", False)
    return tmp_path / "home"


def check_silently(fn, capsys):
    check(exercise("hello")(fn))
    capsys.readouterr()


def row(capsys, notebook="00"):
    """The line of `progress()` about a notebook."""
    progress()
    return next(line for line in capsys.readouterr().out.splitlines() if line.startswith(notebook))


def test_nothing_done_yet(home, capsys):
    line = row(capsys)
    assert "□ 0 of 1 solved " in line and " none of " in line and line.endswith("not taken")
    assert not home.exists(), "looking does not write"


def test_the_way_on_is_marked_and_titles_are_links(monkeypatch, capsys):
    """The first notebook with something open; each row leads to its file."""
    pages = []
    monkeypatch.setattr(message, "emit", lambda page, text, widget=None: pages.append((page, text)))
    progress()
    records.update("exercises", "hello", lambda old: {"solved": True})
    records.update("quizzes", "start", lambda old: {"best": 2})
    progress()
    for (page, text), number in zip(pages, ("00", "01"), strict=True):
        marked = [line[:2] for line in text.splitlines() if "continue here" in line]
        assert marked == [number] and page.count("continue here") == 1
    files = re.findall(r'<a href="([^"]+)">', pages[0][0])
    assert len(files) == len(NOTEBOOKS) and all((progressing.FOLDER / file).is_file() for file in files)


def test_wrong_then_right(capsys):
    check_silently(HELLO.mistakes[0].fn, capsys)
    assert "□ 0 of 1 solved, 1 tried" in row(capsys)
    check_silently(HELLO.solution, capsys)
    assert "■ 1 of 1 solved " in row(capsys)
    check_silently(HELLO.mistakes[0].fn, capsys)
    assert "■ 1 of 1 solved " in row(capsys), "what was solved once stays solved"


def test_stub_leaves_no_trace(home, capsys):
    def ppo_objective(before, now, advantage): ...

    check_silently(ppo_objective, capsys)
    assert not home.exists()


def test_file_is_small_readable_json(home, capsys):
    check_silently(HELLO.mistakes[0].fn, capsys)
    data = json.loads((home / "progress.json").read_text("utf-8"))
    assert data["version"] == 2
    assert data["exercises"]["hello"]["solved"] is False and len(data["exercises"]["hello"]["tries"]) == 1
    assert [path.name for path in home.iterdir()] == ["progress.json"], "no temporary files stay behind"


def test_a_file_with_the_ids_of_old_is_read(home, capsys):
    """They began with a notebook's number, and a quiz had nothing else. What has both is told by the id of today."""
    home.mkdir()
    old = {
        "version": 1,
        "exercises": {"00.hello": {"solved": True}, "04.returns": {"solved": True}, "01.returns": {"tries": ["x"]}},
        "predictions": {"00.q1": {"choice": ANSWER}, "07.q3": {"choice": "a"}, "negative_mean": {"choice": "b"}},
        "quizzes": {"00": {"best": 4}, "12": {"best": 3}},
    }
    (home / "progress.json").write_text(json.dumps(old), "utf-8")
    data = records.read()
    assert set(data["exercises"]) == {"hello", "returns_and_weights", "discounted_returns"}
    assert data["predictions"]["negative_mean"] == {"choice": "b"} and set(data["quizzes"]) == {"start", "rlhf"}
    assert "1 of 1 solved" in row(capsys) and "1 right of 1 made" in row(capsys) and "4 of 5" in row(capsys)
    check_silently(HELLO.solution, capsys)
    again = json.loads((home / "progress.json").read_text("utf-8"))
    assert again["version"] == 2 and "00.hello" not in again["exercises"] and len(again["exercises"]) == 3


def test_default_folder_is_in_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("PPO_LESSON_HOME")
    monkeypatch.setattr("pathlib.Path.home", lambda: tmp_path)
    assert records.home() == tmp_path / ".ppo_lesson"


def test_two_notebooks_at_once_keep_each_others_entries():
    def notebook(name):
        for i in range(20):
            records.update("exercises", f"{name}.{i}", lambda old: {"solved": True})

    notebook("00")
    stale = records.read()  # another notebook reads, then this one goes on
    notebook("01")
    records.update("exercises", "02.x", lambda old: {"solved": True})
    assert len(stale["exercises"]) == 20 and len(records.read()["exercises"]) == 41


def test_file_is_whole_whenever_somebody_reads_it(home):
    stop, torn = threading.Event(), []

    def read():
        while not stop.is_set():
            try:
                json.loads((home / "progress.json").read_text("utf-8"))
            except FileNotFoundError:
                pass
            except ValueError as problem:
                torn.append(problem)

    thread = threading.Thread(target=read)
    thread.start()
    for i in range(200):
        records.update("exercises", f"00.{i}", lambda old: {"tries": ["x" * 200]})
    stop.set()
    thread.join()
    assert not torn


# ---- broken files ------------------------------------------------------------


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1, 2]", b'{"exercises": 3}', b"\xff\xfe\x00", b"null", b"[" * 100_000]
)
def test_corrupt_file_costs_one_line(home, capsys, content):
    home.mkdir()
    (home / "progress.json").write_bytes(content)
    progress()
    check(exercise("hello")(HELLO.mistakes[0].fn))
    progress()
    out, err = capsys.readouterr()
    assert out.count("Warning: ") == 1 and "progress.json could not be read" in out and err == ""
    assert (home / "progress.json.broken").read_bytes() == content, "set aside, not lost"
    assert "0 of 1 solved, 1 tried" in row(capsys)


def test_a_file_that_an_editor_marked_as_utf8_is_read(home, capsys):
    """Windows Notepad puts three bytes in front; the progress was set aside as damaged."""
    check_silently(HELLO.solution, capsys)
    file = home / "progress.json"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert "■ 1 of 1 solved " in row(capsys)


def test_strange_entries_are_ignored(home, capsys):
    home.mkdir()
    entries = {"hello": {"tries": 3, "asked": "x", "solved": "yes"}, "00.other": 7}
    strange = {"exercises": entries, "predictions": {"moves": {"choice": 5}}, "quizzes": {"start": {"best": None}}}
    (home / "progress.json").write_text(json.dumps(strange), "utf-8")
    assert "0 of 1 solved" in row(capsys)
    hint("hello")
    predict("moves", [ANSWER, "something else"])
    reveal("moves")
    check_silently(HELLO.mistakes[0].fn, capsys)
    assert "0 of 1 solved, 1 tried" in row(capsys)


@pytest.mark.parametrize("place", ["a file", "a file/below", "\0"])
def test_unusable_folder_costs_one_line_and_remembers(tmp_path, monkeypatch, capsys, place):
    (tmp_path / "a file").write_text("")
    monkeypatch.setattr(records, "home", lambda: tmp_path / place)
    check(exercise("hello")(HELLO.solution))
    predict("moves", [ANSWER, "something else"])
    reveal("moves")
    hint("hello")
    progress()
    out, err = capsys.readouterr()
    assert out.count("Warning: ") == 1 and "progress.json cannot be used" in out and err == ""
    assert "■ 1 of 1 solved" in out, "progress lasts until the kernel stops"


def test_read_only_folder_costs_one_line(home, monkeypatch, capsys):
    def refuse(*args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    monkeypatch.setattr(records.time, "sleep", lambda seconds: None)
    check(exercise("hello")(HELLO.solution))
    check(exercise("hello")(HELLO.mistakes[0].fn))
    out, err = capsys.readouterr()
    assert out.count("Warning: progress.json cannot be used (Permission denied)") == 1 and err == ""
    assert list(home.iterdir()) == [], "no temporary files stay behind"
    assert "■ 1 of 1 solved" in row(capsys)


def test_file_in_use_for_a_moment_is_waited_for(home, monkeypatch, capsys):
    """Windows refuses to replace a file that another notebook is reading."""
    replace, refusals = os.replace, [1, 1]

    def busy(*args):
        if refusals:
            refusals.pop()
            raise PermissionError(13, "in use")
        replace(*args)

    monkeypatch.setattr(os, "replace", busy)
    check_silently(HELLO.solution, capsys)
    assert records.read()["exercises"]["hello"]["solved"] is True


# ---- starting over -----------------------------------------------------------


def fill():
    for id in ("hello", "step", "solve_v"):
        records.update("exercises", id, lambda old: {"solved": True})
    for id in ("moves", "optimum"):
        records.update("predictions", id, lambda old: {"choice": "x", "revealed": True})
    for id in ("start", "maze"):
        records.update("quizzes", id, lambda old: {"best": 3})


def left():
    return sorted(key for section in records.read().values() for key in section)


@pytest.mark.parametrize(
    "what, stays",
    [
        ("hello", ["maze", "moves", "optimum", "solve_v", "start", "step"]),
        ("moves", ["hello", "maze", "optimum", "solve_v", "start", "step"]),
        ("start", ["maze", "optimum", "solve_v", "step"]),
        ("00", ["maze", "optimum", "solve_v", "step"]),
        ("", []),
    ],
)
def test_reset(capsys, what, stays):
    fill()
    reset(what)
    assert left() == stays
    assert capsys.readouterr().out == (f"Progress of {what} is reset.\n" if what else "All progress is reset.\n")


def test_reset_of_something_unknown_changes_nothing():
    fill()
    for what, words in [
        ("helo", "did you mean 'hello'"),
        ("00.q1", "did you mean 'moves'"),
        ("99", "or notebook '99'"),
    ]:
        with pytest.raises(ValueError, match=words):
            reset(what)
    assert len(left()) == 7


def test_progress_is_deterministic_in_a_fresh_folder(capsys):
    progress()
    first = capsys.readouterr().out
    progress()
    assert capsys.readouterr().out == first and "/" not in first
