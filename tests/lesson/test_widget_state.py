"""JupyterLab's setting that keeps panels in a saved notebook: read as JupyterLab reads it, beside what is there."""

import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest
from jupyterlab_server import settings_utils

from course import doctor, widget_state

PLUGIN = "@jupyter-widgets/jupyterlab-manager:plugin"


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """An empty JupyterLab folder and empty user settings."""
    monkeypatch.setenv("JUPYTERLAB_DIR", str(tmp_path / "lab"))
    monkeypatch.setenv("JUPYTERLAB_SETTINGS_DIR", str(tmp_path / "chosen"))
    monkeypatch.delitem(sys.modules, "google.colab", raising=False)
    return tmp_path / "lab" / "settings"


def defaults(lab):
    """What JupyterLab itself makes of its settings folder."""
    found, problem = settings_utils._get_overrides(str(lab))
    assert problem == ""
    return found


def test_written_once_and_read_by_jupyterlab(lab):
    assert widget_state.kept() is None
    assert "saves the state" in widget_state.keep()
    assert widget_state.kept() is True and defaults(lab)[PLUGIN] == {"saveState": True}
    (file,) = (path for path in lab.rglob("*") if path.is_file())
    before = file.stat().st_mtime_ns
    assert widget_state.keep().endswith("yes.") and file.stat().st_mtime_ns == before


def test_what_is_there_stays(lab):
    lab.mkdir(parents=True)
    theirs = {"@jupyterlab/apputils-extension:themes": {"theme": "JupyterLab Dark"}, PLUGIN: {"other": 1}}
    (lab / "overrides.json").write_text(json.dumps(theirs))
    widget_state.keep()
    assert json.loads((lab / "overrides.json").read_text()) == theirs
    assert defaults(lab) == {**theirs, PLUGIN: {"other": 1, "saveState": True}}


@pytest.mark.parametrize("chosen", [True, False])
def test_what_somebody_chose_goes_first(lab, tmp_path, chosen):
    file = tmp_path / "chosen" / "@jupyter-widgets" / "jupyterlab-manager" / "plugin.jupyterlab-settings"
    file.parent.mkdir(parents=True)
    file.write_text(
        "{\n    // Jupyter Widgets\n    // Save Jupyter widget state\n" + f'"saveState": {str(chosen).lower()}\n}}'
    )
    assert widget_state.kept() is chosen
    said = widget_state.keep()
    assert said.endswith("yes." if chosen else "no, by your own choice in its settings.") and not lab.exists()
    assert doctor.next_day()[0].advice == ""


@pytest.mark.parametrize("broken", ["", "{", '{"saveState": 3}'])
def test_a_broken_file_of_somebody_else_is_left_alone(lab, broken):
    lab.mkdir(parents=True)
    (lab / "overrides.json").write_text(broken)
    widget_state.keep()
    assert widget_state.kept() is True and (lab / "overrides.json").read_text() == broken


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_full_or_forbidden_disk_costs_a_sentence(lab, monkeypatch, code):
    def full(*_):
        raise OSError(code, "No space left on device" if code == errno.ENOSPC else "forbidden")

    monkeypatch.setattr(Path, "write_text", full)
    said = widget_state.keep()
    reason = "No space left on device" if code == errno.ENOSPC else "forbidden"
    assert str(lab) in said and f"({reason})" in said and "Save Widget State Automatically" in said
    assert widget_state.kept() is None


@pytest.mark.slow
def test_the_doctor_says_it_and_mends_it_when_told(lab):
    (finding,) = doctor.next_day()
    assert "doctor --fix" in finding.advice and not finding.breaks
    run = subprocess.run([sys.executable, "-m", "course", "doctor", "--fix"], capture_output=True, text=True)
    assert run.returncode == 0 and "saves the state of widgets" in run.stdout
    assert doctor.next_day()[0].value == "kept" and doctor.next_day()[0].advice == ""


def test_make_lab_speaks_only_where_something_is_to_be_done(lab):
    command = [sys.executable, "-m", "course.widget_state"]
    first, second = (subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(2))
    assert "saves the state" in first.stdout and second.stdout == first.stderr == second.stderr == ""
    assert widget_state.kept() is True


def test_the_first_cell_speaks_in_a_jupyterlab_that_would_lose_panels(lab, monkeypatch, capsys):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    doctor.ready()  # executed by a tool: committed outputs stay clean
    assert capsys.readouterr().out == ""
    monkeypatch.setenv("JPY_SESSION_NAME", "notebooks/00_start_here.ipynb")
    doctor.ready()
    assert "keep()\nin a new cell, then reload the page" in capsys.readouterr().out
    widget_state.keep()
    doctor.ready()
    assert capsys.readouterr().out == ""
    monkeypatch.setitem(sys.modules, "google.colab", object())
    assert doctor.next_day() == []
