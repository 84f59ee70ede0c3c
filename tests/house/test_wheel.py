"""The module alone: its wheel, in an environment that has its own dependencies and no checkout."""

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
import shop
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
MODULE = ("ppo_lesson", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy, so that nothing is written into the checkout."""
    copy, built = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("built")
    for name in MODULE:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, copy / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--no-build-isolation", "--no-index", "--wheel-dir", built, copy], check=True)
    return next(built.glob("*.whl"))


def needed():
    """The distributions that the module's dependencies are and need, as installed here."""
    wanted, found = [Requirement(line) for line in PROJECT["dependencies"]], {}
    while wanted:
        need = wanted.pop()
        if need.marker and not need.marker.evaluate({"extra": ""}):
            continue
        if need.name.lower() not in found:
            found[need.name.lower()] = metadata.distribution(need.name)
            wanted += map(Requirement, metadata.requires(need.name) or ())
    return found.values()


@pytest.fixture(scope="module")
def alone(wheel, tmp_path_factory):
    """A function that runs Python where only the wheel and what it needs can be imported: words -> CompletedProcess."""
    place, empty = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("elsewhere")
    for package in needed():
        for file in package.files or ():
            top = Path(package.locate_file(file.parts[0]))
            if file.parts[0] != ".." and top.name != "__pycache__" and not (place / top.name).exists():
                (place / top.name).symlink_to(top)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", place, wheel], check=True)
    settings = {**os.environ, "PYTHONPATH": str(place), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}

    def run(*words):
        command = [sys.executable, "-S", *map(str, words)]  # -S: without this environment's site-packages
        return subprocess.run(command, cwd=empty, env=settings, capture_output=True, text=True)

    run.script = place / "bin" / "ppo-lesson"
    return run


@pytest.mark.slow
def test_a_wheel_holds_the_module_and_its_tables_alone(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"ppo_lesson"}
    ours = {file.relative_to(ROOT).as_posix() for file in (ROOT / "ppo_lesson").rglob("*") if file.is_file()}
    assert {name for name in ours if "__pycache__" not in name} == {n for n in names if ".dist-info/" not in n}
    assert "ppo_lesson/bridge/keys.toml" in names


@pytest.mark.slow
def test_the_trainer_comes_without_what_the_lesson_needs(alone):
    for name in ("course", "matplotlib", "IPython", "ipywidgets", "jupyterlab", "pytest"):
        assert f"No module named '{name}'" in alone("-c", f"import {name}").stderr
    run = alone("-c", "import ppo_lesson; from ppo_lesson.ppo import ppo; print(ppo_lesson.__file__)")
    assert run.returncode == 0, run.stderr
    assert not Path(run.stdout.strip()).is_relative_to(ROOT)


@pytest.mark.slow
def test_the_commands_work_on_files_of_ones_own(alone, tmp_path):
    folder, short = shop.make(tmp_path), ["--steps", "2", "--batch", "4"]
    told = {
        "sft": ["--model", folder / "model", "--data", folder / "pairs.jsonl", *short],
        "reward": ["--model", tmp_path / "sft" / "model", "--data", folder / "rankings.jsonl", *short],
        "rlhf": ["--model", tmp_path / "sft" / "model", "--reward", tmp_path / "reward" / "model", *shop.SHORT],
    }
    told["rlhf"] += ["--prompts", folder / "prompts.jsonl"]
    for command, words in told.items():
        run = alone(alone.script, command, *words, "--output", tmp_path / command)
        assert run.returncode == 0, run.stderr
        assert "no plots: they need matplotlib" in run.stdout and (tmp_path / command / "report.md").exists()
    mine = ["--config", tmp_path / "rlhf", "--reward", f"{folder / 'my_reward.py'}:score", "--output", tmp_path / "v"]
    run = alone(alone.script, "export", "verl", *mine, "--format", "jsonl")
    assert run.returncode == 0 and (tmp_path / "v" / "run.sh").exists(), run.stderr
    run = alone(alone.script, "export", "verl", *mine, "--overwrite")
    assert run.returncode == 2 and "parquet files need pyarrow" in run.stderr


@pytest.mark.slow
@pytest.mark.parametrize("command", ["doctor", "progress", "sweep"])
def test_a_command_of_the_lesson_says_where_it_is(alone, command):
    run = alone(alone.script, command)
    assert run.returncode == 2 and f"python -m course {command}, in the folder notebooks of a checkout" in run.stderr


@pytest.mark.slow
def test_the_help_desk_without_its_data_says_so(alone, tmp_path):
    shutil.copytree(ROOT / "notebooks" / "course", tmp_path / "notebooks" / "course")
    code = f"import sys; sys.path.append({str(tmp_path / 'notebooks')!r}); from course.__main__ import main; "
    run = alone("-c", code + "sys.exit(main(['sweep', '--only', 'ptx']))")
    assert run.returncode == 2 and "Traceback" not in run.stderr
    assert "the help desk needs a checkout of the course" in run.stderr and "data" in run.stderr
