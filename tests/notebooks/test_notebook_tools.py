"""tools/notebooks.py and tools/set_repo_url.py on a small notebook of their own."""

import argparse
import base64
import io
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
import set_repo_url
import yaml
from outputs import WIDGET_VIEW, clean
from PIL import Image

import notebooks
from course.pictures import svg
from course.pictures.moving import Film, Reel

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = "https://github.com/someone/ppo-lesson"
SAMPLE = """\
# %% [markdown] header
# 98 · A sample

- <!-- minutes -->
- <!-- colab -->

# %% bootstrap tags=hide-input

# %% folder tags=hide-input
import os
from ppo_lesson import maze
print(os.environ["PPO_LESSON_HOME"], maze.Maze().size)

# %% [markdown] between
Some *words*.

    # an indented line stays

# %% picture
import ipywidgets
import matplotlib.pyplot as plt
plt.plot([1, 2])
plt.show()
ipywidgets.IntSlider()
"""


def write(path, text, root=ROOT):
    """The `write` command, for a notebook of this test."""
    old = nbformat.read(path, as_version=4) if path.exists() else None
    notebooks.save(notebooks.normalise(notebooks.from_text(text, old), path, root), path)
    return nbformat.read(path, as_version=4)


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    path = tmp_path_factory.mktemp("a folder") / "98_sample.ipynb"
    write(path, SAMPLE)
    notebooks.execute(path)
    return path


def cells(path):
    return {cell.id: cell for cell in nbformat.read(path, as_version=4).cells}


# ---- text ----------------------------------------------------------------------------------------------------------


def test_text_to_notebook_and_back(tmp_path):
    nb = write(tmp_path / "98_sample.ipynb", SAMPLE)
    assert [cell.id for cell in nb.cells] == ["header", "bootstrap", "folder", "between", "picture"]
    assert [cell.cell_type for cell in nb.cells] == ["markdown", "code", "code", "markdown", "code"]
    assert nb.cells[1].source == notebooks.bootstrap()
    assert nb.cells[1].metadata == nb.cells[2].metadata
    assert nb.cells[2].metadata == {"tags": ["hide-input"], "jupyter": {"source_hidden": True}}
    assert "not measured yet" in nb.cells[0].source
    assert notebooks.to_text(nb) == SAMPLE


@pytest.mark.parametrize(
    "text, message",
    [
        ("# %% one\n1\n# %% one\n2\n", "more than once: one"),
        ("1 + 1\n", "must begin with a cell line"),
        ("# %% two words\n1\n", "cannot read '# %% two words'"),
        ("# %% [markdown]\nwords\n", "cannot read"),
    ],
)
def test_bad_text_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        notebooks.from_text(text)


def test_a_cell_that_looks_like_a_cell_line_is_refused():
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1\n# %% b", id="a")])
    with pytest.raises(ValueError, match="marks a new cell"):
        notebooks.to_text(nb)


@pytest.mark.slow
def test_the_command_line(tmp_path):
    tool = [sys.executable, str(ROOT / "tools" / "notebooks.py")]
    path = tmp_path / "98_sample.ipynb"
    subprocess.run([*tool, "write", str(path), "-"], input=SAMPLE, text=True, encoding="utf-8", check=True)
    out = subprocess.run([*tool, "text", str(path)], capture_output=True, text=True, encoding="utf-8", check=True)
    assert out.stdout == SAMPLE
    bad = subprocess.run([*tool, "write", str(path), "-"], input="1\n", text=True, capture_output=True)
    assert bad.returncode == 1 and bad.stderr.startswith("error: the text must begin")


# ---- execution and hashes ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_executed_outputs_carry_nothing_of_this_run(executed):
    found = cells(executed)
    assert found["folder"].outputs[0].text == "~/.ppo_lesson 4\n"
    kinds = [set(output.data) for output in found["picture"].outputs]
    assert kinds == [{"image/png", "text/plain"}, {"text/plain"}]
    assert "seconds, measured on" in found["header"].source
    nb = nbformat.read(executed, as_version=4)
    assert set(nb.metadata) == {"kernelspec", "language_info", "ppo_lesson"}
    assert nb.metadata.kernelspec.name == "python3"


def test_a_panel_leaves_its_picture_and_below_it_its_words():
    view = {WIDGET_VIEW: {"model_id": "1"}}
    picture = {"image/png": "aGk=", "text/plain": "A < B."}
    output = {"output_type": "execute_result", "execution_count": 1, "metadata": {"image/png": {"alt": "A < B."}}}
    still, below = clean({**output, "data": {**picture, **view}}, "/home/of/progress")
    assert still.data == picture and "A &lt; B." in below.data["text/html"]
    (alone,) = clean({**output, "data": picture}, "/home/of/progress")  # `show` says its words itself
    assert alone.data == picture


def test_an_svg_has_a_png_beside_it_with_its_letters_and_colours():
    pytest.importorskip("resvg_py", reason="it is of the extra [test]")
    parts = [
        '<rect x="100" width="660" height="60" fill="#0072B2"/>',
        svg.text(8, 40, "III", size=30),
        svg.text(8, 55, "W"),
    ]
    data = {"image/svg+xml": svg.svg(parts, 60), "text/html": "<img>", "text/plain": "A."}
    output = {"output_type": "display_data", "data": data, "metadata": {"image/svg+xml": {"alt": "A."}}}
    (cleaned,) = clean(output, "/home/of/progress")
    assert {key: cleaned.data[key] for key in data} == data
    assert cleaned.metadata["image/png"] == {"alt": "A.", "width": 760, "height": 60, "unconfined": True}
    image = Image.open(io.BytesIO(base64.b64decode(cleaned.data["image/png"]))).convert("RGB")
    assert image.size == (1520, 120)
    assert image.crop((202, 0, 1520, 120)).getcolors() == [(1318 * 120, (0, 0x72, 0xB2))]
    for top, bottom in ((40, 80), (95, 110)):  # the first word, the second
        (darkest, ground), *_ = image.crop((0, top, 200, bottom)).getextrema()
        assert darkest < 100 and ground == 255, "letters are drawn, on white"
    assert clean(output, "/home/of/progress") == [cleaned]
    assert set(clean(cleaned, "/home/of/progress")[0].data) == {*data, "image/png"}


def test_a_film_has_the_frame_it_stands_on_beside_it():
    pytest.importorskip("resvg_py", reason="it is of the extra [test]")
    moves = Reel(2, 1.0).move({"x": [0, 100, 400]})
    film = Film([f'<rect width="100" height="60" fill="#0072B2"{moves}</rect>'], 60, "A box goes right: x < 400.")
    output = {"output_type": "execute_result", "execution_count": 1, "data": film._repr_mimebundle_()[0]}
    (cleaned,) = clean({**output, "metadata": {}}, "/home/of/progress")
    about = cleaned.metadata["image/png"]
    assert about == {"alt": film.alt, "width": 760, "height": 60, "unconfined": True}
    image = Image.open(io.BytesIO(base64.b64decode(cleaned.data["image/png"]))).convert("RGB")
    assert [image.getpixel((x, 60)) == (0, 0x72, 0xB2) for x in (100, 300, 900, 1100)] == [False, False, True, False]


@pytest.mark.slow
def test_executing_again_changes_nothing_but_seconds(executed, tmp_path):
    again = tmp_path / executed.name
    shutil.copy(executed, again)
    notebooks.execute(again)
    texts = [path.read_text("utf-8").splitlines() for path in (executed, again)]
    differ = [line for pair in zip(*texts, strict=True) for line in set(pair) if pair[0] != pair[1]]
    assert all("seconds" in line for line in differ)


@pytest.mark.slow
def test_what_makes_outputs_stale(executed, tmp_path):
    path = tmp_path / executed.name
    shutil.copy(executed, path)
    assert notebooks.stale(path) == []
    write(path, notebooks.to_text(nbformat.read(path, as_version=4)).replace("Some *words*", "Other words"))
    assert notebooks.stale(path) == []  # prose changes no output
    assert cells(path)["folder"].outputs  # and costs none
    write(path, notebooks.to_text(nbformat.read(path, as_version=4)).replace("size)", "goal)"))
    assert notebooks.stale(path) == ["code"]
    assert not cells(path)["folder"].outputs and cells(path)["picture"].outputs


def test_package_hash_follows_imports_in_both_rooms(tmp_path):
    for name, text in {
        "ppo_lesson/__init__.py": "",
        "ppo_lesson/a.py": "from . import b",
        "ppo_lesson/b.py": "import torch",
        "ppo_lesson/c.py": "",
        "notebooks/course/__init__.py": "",
        "notebooks/course/check/__init__.py": "from ppo_lesson.c import x\nfrom ..pictures import y",
        "notebooks/course/pictures.py": "",
        "notebooks/course/exercises/catalogue.toml": '[notebooks]\npenalty = ["beta"]\nloop = ["loss"]',
        "notebooks/course/exercises/beta.py": "from ..mazes import z",
        "notebooks/course/exercises/loss.py": "",
        "notebooks/course/mazes.py": "",
        "notebooks/course/text/en/beta.toml": "",
        "notebooks/course/text/en/loss.toml": "",
        "notebooks/course/text/en/notebooks/penalty.toml": "",
        "notebooks/course/text/zh/beta.toml": "",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    def names(source, number=""):
        return [file.relative_to(tmp_path).as_posix() for file in notebooks.modules([source], number, tmp_path)]

    assert names("import torch") == []
    assert names("from ppo_lesson.a import y") == [f"ppo_lesson/{name}.py" for name in ("__init__", "a", "b")]
    assert names("from ppo_lesson import c") == ["ppo_lesson/__init__.py", "ppo_lesson/c.py"]
    assert names("import course.check", "00") == [
        "notebooks/course/__init__.py",
        "notebooks/course/check/__init__.py",
        "notebooks/course/exercises/beta.py",
        "notebooks/course/mazes.py",
        "notebooks/course/pictures.py",
        "notebooks/course/text/en/beta.toml",
        "notebooks/course/text/en/notebooks/penalty.toml",
        "notebooks/course/text/zh/beta.toml",
        "ppo_lesson/__init__.py",
        "ppo_lesson/c.py",
    ]


@pytest.mark.slow
def test_one_changed_line_in_either_room_makes_stale_what_uses_it(tmp_path):
    for room in ("ppo_lesson", "notebooks"):
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    paths = {path.name[:2]: path for path in notebooks.all_notebooks(tmp_path)}

    def hashes():
        nbs = {name: nbformat.read(path, as_version=4) for name, path in paths.items()}
        return {name: notebooks.hashes(nb, paths[name], tmp_path)["package"] for name, nb in nbs.items()}

    def stale_after(file):
        path, before = tmp_path / file, hashes()
        path.write_text(path.read_text("utf-8") + "\n# one line more\n", "utf-8")
        return {name for name, value in hashes().items() if value != before[name]}

    assert stale_after("notebooks/course/check/message.py") == set(paths)
    assert stale_after("notebooks/course/exercises/clip_fraction.py") == {"06"}
    assert stale_after("notebooks/course/text/en/clip_fraction.toml") == {"06"}
    assert stale_after("notebooks/course/text/en/notebooks/penalty.toml") == {"07"}
    trainer, sweep = stale_after("ppo_lesson/ppo.py"), stale_after("notebooks/course/desk/sweep.py")
    assert {"06", "07", "08", "09", "10", "13", "14", "15"} <= trainer and not trainer & {"00", "01", "02"}
    assert {"14", "15"} <= sweep and not sweep & {f"{n:02}" for n in range(11)}
    assert stale_after("ppo_lesson/diagnose.toml") == stale_after("ppo_lesson/diagnose.py") >= {"10", "15"}, (
        "texts count too"
    )


def test_a_failing_notebook_is_not_written(tmp_path, capsys):
    path = tmp_path / "98_sample.ipynb"
    write(path, "# %% bad\n1 / 0\n")
    before = path.read_text("utf-8")
    assert notebooks.main(["execute", str(path)]) == 1
    assert path.read_text("utf-8") == before
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_machine_path_in_an_output_is_refused(tmp_path):
    path = tmp_path / "98_sample.ipynb"
    write(path, f"# %% path\nprint({str(ROOT / 'README.md')!r})\n")
    with pytest.raises(ValueError, match="path of this machine"):
        notebooks.execute(path)


def test_too_large_a_notebook_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(notebooks, "MAX_BYTES", 100)
    with pytest.raises(ValueError, match="more than 100"):
        write(tmp_path / "98_sample.ipynb", SAMPLE)


# ---- the repository's address --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["99", "seventeen", "", "notebooks", "tools/notebooks.py", "notebooks/06.ipynb"])
def test_what_is_no_notebook_is_refused(name):
    with pytest.raises(argparse.ArgumentTypeError, match=rf"'{name}' is no notebook: name a file .* of 00 01 .* 17$"):
        notebooks.named(name)


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["tools/notebooks.py execute 99", "report.py latency 99", "test_notebooks.py"])
def test_tools_refuse_at_once_what_is_no_notebook(tool):
    if "tools/" not in tool:
        pytest.importorskip("playwright")
    folder = ROOT if "tools/" in tool else ROOT / "tests" / "browser"
    environment = os.environ | {"FULL": "06 99", "PYTHONPATH": str(ROOT / "tools")}
    command = [sys.executable, *tool.split()]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode != 0 and "'99' is no notebook: name a file" in done.stderr


def test_a_notebook_is_named_by_its_file_or_its_number(tmp_path):
    six = next((ROOT / "notebooks").glob("06*.ipynb"))
    assert notebooks.named("6") == notebooks.named("06") == notebooks.named(str(six)) == six
    mine = tmp_path / "mine.ipynb"
    shutil.copy(six, mine)
    assert notebooks.named(str(mine)) == mine


@pytest.fixture
def copy(tmp_path, executed):
    """A small copy of the repository: what set_repo_url touches, and two notebooks."""
    (tmp_path / "notebooks").mkdir()
    for name in ("pyproject.toml", "README.md", "CITATION.cff"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("00_start_here.ipynb", "98_sample.ipynb"):
        shutil.copy(executed, tmp_path / "notebooks" / name)
    return tmp_path


@pytest.mark.slow
def test_one_command_sets_the_address_everywhere(copy):
    set_repo_url.set_address("", copy)
    before = {path: path.read_text("utf-8") for path in copy.rglob("*.*") if path.is_file()}
    assert not any("colab.research.google.com" in text for text in before.values())  # no dead badge
    set_repo_url.set_address(ADDRESS + ".git/", copy)
    assert notebooks.project(copy)[0] == ADDRESS
    project = tomllib.loads((copy / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["urls"] == {
        "Repository": ADDRESS,
        "Issues": f"{ADDRESS}/issues",
        "Changelog": f"{ADDRESS}/blob/main/CHANGELOG.md",
    }
    assert yaml.safe_load((copy / "CITATION.cff").read_text("utf-8"))["repository-code"] == ADDRESS
    badge = "https://colab.research.google.com/github/someone/ppo-lesson/blob/main/notebooks/"
    assert badge + "00_start_here.ipynb" in (copy / "README.md").read_text("utf-8")
    for path in notebooks.all_notebooks(copy):
        assert badge + path.name in cells(path)["header"].source
        assert f'find_course(repository="{ADDRESS}")' in cells(path)["bootstrap"].source
        assert notebooks.stale(path, ROOT) == []
    set_repo_url.set_address("", copy)
    assert {path: path.read_text("utf-8") for path in before} == before


@pytest.mark.parametrize("address", ["github.com/a/b", "https://gitlab.com/a/b", "https://github.com/a", "a b"])
def test_a_wrong_address_is_refused(address, tmp_path):
    with pytest.raises(ValueError, match=r"https://github\.com/OWNER/REPO"):
        set_repo_url.set_address(address, tmp_path)
