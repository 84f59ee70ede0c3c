"""Run every notebook, its exercises solved, and the tests of pictures, with the versions of Colab. `make colab-like`

Makes .venv-colab beside .venv: the versions of colab.toml, installed without their dependencies; everything else is
borrowed from .venv. It prints how old that list is, and which of its versions are not the ones that run here; no age
is an error. A stand-in for `google.colab` is loaded when its Python starts, as in Colab, so that the first cell and
the panels take their Colab ways. `make test` runs the notebooks as you get them, so here the solutions are typed into
the exercise cells, and the cells below call these. Nothing is written into the notebooks.
Left out: Colab's own page. Whether sliders show there can only be seen there.
"""

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from importlib import metadata
from pathlib import Path

import nbformat
from nbclient import NotebookClient

import notebooks  # which puts both rooms on the path
from course.check import solution
from course.pictures.page import words

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".venv-colab"
COLAB = tomllib.loads((Path(__file__).parent / "colab.toml").read_text("utf-8"))
JOBS = 2


def packages():
    """What pip installs: every version of the list that is not borrowed, and what the old ones need."""
    pinned = [f"{name}=={x}" for name, x in COLAB["versions"].items() if name not in COLAB["borrowed"]]
    return pinned + COLAB["old"]["packages"]


def about(today):
    """The list's date and age, and each version that is another here, with the reason: lines of text."""
    month = f"{COLAB['date']:%B %Y}"
    lines = [f"Colab's versions of {month}, {(today - COLAB['date']).days} days old (tools/colab.toml)"]
    for name, why in COLAB["borrowed"].items():
        here = sys.version.split()[0] if name == "python" else metadata.version(name)
        wanted = COLAB["versions"][name]
        if not f"{here.partition('+')[0]}.".startswith(f"{wanted}."):
            lines.append(f"{name} {here} in place of {wanted}: {why}")
    return lines


def prepare():
    """Make .venv-colab unless it is complete; return its Python."""
    python = HOME / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    done, wanted = HOME / "done.json", packages()
    if done.is_file() and json.loads(done.read_text()) == wanted:
        return python
    subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(HOME)], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps"]
    subprocess.run([*pip, *wanted], check=True)
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(subprocess.run([str(python), "-c", ask], capture_output=True, text=True, check=True).stdout.strip())
    (site / "google" / "colab").mkdir(parents=True)
    (site / "google" / "colab" / "__init__.py").touch()
    (site / "colab_like.pth").write_text(f"{sysconfig.get_path('purelib')}\nimport google.colab\n", "utf-8")
    kernel = {"argv": [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"], "language": "python"}
    spec = HOME / "share" / "jupyter" / "kernels" / "colab-like" / "kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text(json.dumps(kernel | {"display_name": "Colab-like"}), "utf-8")
    done.write_text(json.dumps(wanted))
    return python


def solved(source):
    """A cell with the solution's own text where its exercise has a stub; any other cell as it is."""
    found = re.search(r'^@exercise\("([^"]+)"\)\n(?=def )', source, re.MULTILINE)
    if not found:
        return source
    return f"{source[: found.end()]}{inspect.getsource(solution(found[1]))}\n\n{source.splitlines()[-1]}"


def count(cell):
    """How many outputs it has, without a picture's words: behind a panel they come only when a notebook is stored."""
    pictures = [output.get("metadata", {}).get("image/png", {}).get("alt", "") for output in cell.outputs]
    told = [{"text/html": words(alt)} for alt in pictures if alt]
    return sum(output.get("data") not in told for output in cell.outputs)


def run(path):
    """Run one notebook; an exception if a cell fails, ValueError if it warns or shows what it should not."""
    nb = nbformat.read(path, as_version=4)
    code = [cell for cell in nb.cells if cell.cell_type == "code"]
    stored = {cell.id: count(cell) for cell in code}
    for cell in code:
        cell.source = solved(cell.source)
    home = tempfile.mkdtemp(prefix="ppo_lesson_home_")
    places = {"metadata": {"path": str(path.parent)}}
    patient = {"timeout": 600, **notebooks.PATIENT}
    client = NotebookClient(nb, kernel_name="colab-like", coalesce_streams=True, resources=places, **patient)
    try:
        client.execute(env=notebooks.kernel_environment(home))
    finally:
        shutil.rmtree(home, ignore_errors=True)
    for cell in code:
        if warnings := [output.text for output in cell.outputs if output.get("name") == "stderr"]:
            raise ValueError(f"cell {cell.id} writes to stderr: {warnings[0]}")
        if "@exercise(" in cell.source:  # a solved one may show a picture too
            if "✓" not in json.dumps(cell.outputs, ensure_ascii=False):
                raise ValueError(f"cell {cell.id} does not accept the solution")
        elif (here := count(cell)) != stored[cell.id]:
            raise ValueError(f"cell {cell.id} has {here} outputs here, and {stored[cell.id]} as committed")


def seconds(path):
    """How long the notebook took when it was executed last: the long ones begin first."""
    return nbformat.read(path, as_version=4).metadata["ppo_lesson"].get("seconds", 0)


if __name__ == "__main__":
    print(*about(date.today()), sep="\n", flush=True)
    python = prepare()
    os.environ["JUPYTER_PATH"] = str(HOME / "share" / "jupyter")
    names = [name for name in COLAB["versions"] if name not in COLAB["borrowed"]]
    show = "import sys; from importlib.metadata import version; print(*(f'{x} {version(x)}' for x in sys.argv[1:]))"
    subprocess.run([str(python), "-c", show, *names], check=True)
    paths = [Path(name).resolve() for name in sys.argv[1:]] or notebooks.all_notebooks()
    failed = False
    with ProcessPoolExecutor(JOBS) as pool:
        for path, done in [(path, pool.submit(run, path)) for path in sorted(paths, key=seconds, reverse=True)]:
            problem = done.exception()
            failed |= problem is not None
            text = re.sub(r"\x1b\[[0-9;]*m", "", str(problem or "passed"))  # without the traceback's colours
            print(f"{path.name}: {text}", flush=True)
    tests = sorted(map(str, (ROOT / "tests").rglob("test_viz*.py")))
    done = subprocess.run([str(python), "-m", "pytest", "-q", "-n", str(JOBS), *tests], cwd=ROOT)
    sys.exit(done.returncode or failed)
