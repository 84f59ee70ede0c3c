"""Every column of a row that readers see has one name, one title and one healthy band, in one place."""

import ast
import json
from pathlib import Path

import numpy as np
import pytest

import course
import ppo_lesson
from course.desk import sweep
from course.pictures.dashboard import DIALS
from course.pictures.of_rlhf import CURVES, LIVE
from ppo_lesson import diagnose
from ppo_lesson.columns import ALWAYS, COLUMNS
from ppo_lesson.commands import report

FILES = [file for room in (ppo_lesson, course) for file in Path(room.__file__).parent.rglob("*.py")]
FILES = [file for file in FILES if file.parent.name != "exercises"]  # cases and rules, in whole sentences
TREES = {file: ast.parse(file.read_text("utf-8")) for file in FILES}


def nodes(kind):
    return [(file, node) for file, tree in TREES.items() for node in ast.walk(tree) if isinstance(node, kind)]


def test_a_title_is_written_in_the_table_alone():
    titles = {column.title for column in COLUMNS.values() if " " in column.title}  # "score" may be a name as well
    titles -= {"policy loss", "value loss"}  # boxes of a diagram, too
    assert len(titles) > 8 and not [node for _, node in nodes(ast.Constant) if node.value in titles]


def test_a_healthy_band_is_written_once():
    """Nobody but the table gives a plot a band; a notebook may, where its task has another."""
    for file, node in nodes(ast.Call):
        if getattr(node.func, "id", "") == "Dial" and file.name != "dashboard.py":
            bands = node.args[2:3] + [word.value for word in node.keywords if word.arg == "healthy"]
            assert all(isinstance(band, ast.Constant) and band.value is None for band in bands), (file, node.lineno)
    for dial in (*DIALS, *LIVE):
        assert dial.healthy == (COLUMNS[dial.name].healthy if dial.name in COLUMNS else None)


def test_every_table_reads_this_one():
    assert all(dial.title in (COLUMNS[dial.name].title, COLUMNS[dial.name].label()) for dial in DIALS)
    assert {*CURVES, *ALWAYS, *sweep.COLUMNS, *report.LABELS} <= set(COLUMNS)
    assert list(COLUMNS) == [column.name for column in COLUMNS.values()]


def test_the_words_are_what_they_were():
    assert [dial.title for dial in DIALS] == [
        "mean return of an episode",
        "KL of an update",
        "clip fraction",
        "entropy (nats)",
        "explained variance",
        "|ratio − 1| before the first step",
    ]
    assert report.LABELS["approx_kl"] == "KL of an update (nats a token)"
    assert report.LABELS["kl_ref"] == "KL to the start (nats a reply)"
    assert report.LABELS["length"] == "length (tokens)" and report.LABELS["accuracy"] == "pairs ordered rightly"
    assert ALWAYS == ("policy_loss", "value_loss", "entropy", "grad_norm", "kl", "approx_kl")
    stored = json.loads(sweep.FILE.read_text("utf-8"))["runs"]
    assert {name for run in stored for name in run["rows"]} <= set(sweep.COLUMNS)


@pytest.mark.parametrize("text", ["0.1", "", "x", b"1", ["1", "2"], np.array(["0.1"])])
def test_a_number_in_quotes_is_named(text):
    """As csv.DictReader gives them: read, "" would be no number, and "1" may be a slip."""
    with pytest.raises(ValueError, match=r"history: kl must be a number in every row .* is a text; convert .* float"):
        diagnose.report([{"kl": 0.1}, {"kl": text}])
