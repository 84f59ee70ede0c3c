"""The doctor: what it reports here, and what it advises on computers where something is wrong."""

import builtins
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from course import doctor
from course.__main__ import main


def only(findings):
    (finding,) = findings
    return finding


def versions_without(monkeypatch, **changed):
    """Pretend that packages have other versions (None: missing); returns {package: finding}."""
    real = doctor.installed
    monkeypatch.setattr(doctor, "installed", lambda package: changed.get(package, real(package)))
    return {finding.name: finding for finding in doctor.versions()}


@pytest.mark.slow
def test_this_computer_is_ready():
    run = subprocess.run([sys.executable, "-m", "course", "doctor"], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout
    for name in ("python", "torch", "numpy", "ipywidgets", "gymnasium", "transformers", "device", "memory", "widgets"):
        assert f" {name} " in run.stdout
    assert "Ready for the course." in run.stdout
    assert run.stdout.isascii()  # a Windows terminal can print it


@pytest.mark.slow
def test_it_never_imports_transformers():
    code = "import sys; from course.doctor import examine; examine(); print('transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


def test_missing_and_old_packages_break_the_course(monkeypatch):
    found = versions_without(monkeypatch, gymnasium=None, torch="2.5.1+cu121", transformers="6.0.0")
    assert found["gymnasium"].breaks and "pip install" in found["gymnasium"].advice
    assert found["torch"].breaks and "torch>=2.6" in found["torch"].advice
    assert found["transformers"].breaks
    assert not found["numpy"].advice


def test_a_missing_jupyterlab_is_mentioned_and_breaks_nothing(monkeypatch):
    finding = versions_without(monkeypatch, jupyterlab=None)["jupyterlab"]
    assert finding.advice and not finding.breaks
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release")
    assert not versions_without(monkeypatch, jupyterlab=None)["jupyterlab"].advice


def test_old_python(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 10, 4, "final", 0))
    finding = next(iter(doctor.versions()))
    assert finding.breaks and "3.11" in finding.advice


def test_a_torch_that_does_not_load(monkeypatch):
    real = builtins.__import__

    def failing(name, *args, **kwargs):
        if name == "torch":
            raise OSError("a library of torch was not found")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", failing)
    finding = only(doctor.device())
    assert finding.breaks and "pytorch.org" in finding.advice


def test_a_gpu_that_torch_cannot_use(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/nvidia-smi")
    finding = list(doctor.device())[-1]
    assert "pytorch.org" in finding.advice and not finding.breaks


@pytest.mark.parametrize("ipywidgets, lab", [("8.1.0", None), ("8.1.0", "1.1.0"), ("7.7.1", "3.0.0")])
def test_sliders_that_would_show_as_text(monkeypatch, ipywidgets, lab):
    versions = {"ipywidgets": ipywidgets, "jupyterlab_widgets": lab, "jupyterlab": "4.0"}
    monkeypatch.setattr(doctor, "installed", versions.get)
    finding = only(doctor.widgets())
    assert finding.breaks and "jupyterlab_widgets" in finding.advice


def test_sliders_whose_extension_is_missing(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "extension_folders", lambda: [tmp_path])
    assert only(doctor.widgets()).breaks


def test_sliders_in_colab(monkeypatch):
    monkeypatch.setattr(doctor, "installed", {"ipywidgets": "7.7.1"}.get)
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release")
    assert not only(doctor.widgets()).advice


def test_progress_file(monkeypatch, tmp_path):
    monkeypatch.setenv("PPO_LESSON_HOME", str(tmp_path / "new"))
    assert "not begun" in only(doctor.progress_file()).value
    assert not (tmp_path / "new").exists()  # looking changes nothing
    file = tmp_path / "progress.json"
    monkeypatch.setenv("PPO_LESSON_HOME", str(tmp_path))
    file.write_text(json.dumps({}))
    assert "kept so far" in only(doctor.progress_file()).value
    file.write_text("{ half")
    assert "sets it aside" in only(doctor.progress_file()).advice


def test_it_looks_where_progress_is_kept():
    from course.check import records

    assert str(records.home() / "progress.json") in only(doctor.progress_file()).value


def test_no_home_folder(monkeypatch):
    def fail():
        raise RuntimeError("no home")

    monkeypatch.delenv("PPO_LESSON_HOME", raising=False)
    monkeypatch.setattr(doctor.Path, "home", fail)
    assert "PPO_LESSON_HOME" in only(doctor.progress_file()).advice


def test_progress_file_that_cannot_be_written(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("a file where the folder should be")
    monkeypatch.setenv("PPO_LESSON_HOME", str(tmp_path / "file"))
    finding = only(doctor.progress_file())
    assert "PPO_LESSON_HOME" in finding.advice and not finding.breaks


def test_low_memory(monkeypatch):
    psutil = pytest.importorskip("psutil")

    class Little:
        total, available = 2 * doctor.GIB, doctor.GIB // 2

    monkeypatch.setattr(psutil, "virtual_memory", Little)
    assert "close other programs" in only(doctor.memory()).advice


def test_exit_status(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "examine", lambda: [doctor.Finding("sliders", "no", "do this", True)])
    assert main(["doctor"]) == 1
    assert "sliders: do this" in capsys.readouterr().out
    monkeypatch.setattr(doctor, "examine", lambda: [doctor.Finding("sliders", "some", "do this")])
    assert main(["doctor"]) == 0


def test_ready_leaves_torch_one_thread_unless_told_otherwise(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    doctor.ready()
    assert os.environ["OMP_NUM_THREADS"] == "3"
    monkeypatch.delenv("OMP_NUM_THREADS")
    doctor.ready()
    assert os.environ["OMP_NUM_THREADS"] == "1"


def test_ready(monkeypatch):
    doctor.ready()
    monkeypatch.setattr(doctor, "find_spec", lambda name: None if name in ("PIL", "gymnasium") else name)
    with pytest.raises(ModuleNotFoundError, match=r"PIL, gymnasium.*make lab"):
        doctor.ready()
    calls = []
    monkeypatch.setattr(subprocess, "run", lambda command: calls.append(command) or SimpleNamespace(returncode=0))
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release")
    doctor.ready()
    assert calls[0][1:] == ["-m", "pip", "install", "--quiet", "--no-deps", "pillow>=10", "gymnasium>=1.1"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has a device that is always full")
def test_a_full_disk_lets_a_file_be_made_but_not_written(monkeypatch, tmp_path):
    monkeypatch.setenv("PPO_LESSON_HOME", str(tmp_path))
    monkeypatch.setattr(
        doctor.tempfile, "TemporaryFile", lambda dir: os.fdopen(os.open("/dev/full", os.O_WRONLY), "wb")
    )
    finding = only(doctor.progress_file())
    assert "No space left on device" in finding.advice and "PPO_LESSON_HOME" in finding.advice
