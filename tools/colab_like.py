"""Run every notebook, and the tests of figures and panels, with the older packages that Colab has. `make colab-like`

Makes .venv-colab beside .venv: the versions below, installed without their dependencies; everything else, torch too, is
borrowed from .venv. A stand-in for `google.colab` is loaded when its Python starts, as in Colab, so that the first cell
and the panels take their Colab ways. Nothing is written into the notebooks.
Left out: Colab's own page. Whether sliders show there can only be seen there.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

import notebooks

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".venv-colab"
# From googlecolab/backend-info, August 2026; the second line is what these need and newer versions do not.
PACKAGES = ["ipywidgets==7.7.1", "ipython==7.34.0", "ipykernel==6.17.1", "matplotlib==3.10.0", "numpy==2.0.2"]
PACKAGES += ["ipython-genutils", "backcall", "pickleshare", "decorator", "nest-asyncio"]


def prepare():
    """Make .venv-colab unless it is complete; return its Python."""
    python = HOME / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    done = HOME / "done.json"
    if done.is_file() and json.loads(done.read_text()) == PACKAGES:
        return python
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(HOME)], check=True)
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", "--no-deps", *PACKAGES], check=True)
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(subprocess.run([str(python), "-c", ask], capture_output=True, text=True, check=True).stdout.strip())
    (site / "google" / "colab").mkdir(parents=True)
    (site / "google" / "colab" / "__init__.py").touch()
    (site / "colab_like.pth").write_text(f"{sysconfig.get_path('purelib')}\nimport google.colab\n", "utf-8")
    kernel = {"argv": [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"], "language": "python"}
    spec = HOME / "share" / "jupyter" / "kernels" / "colab-like" / "kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text(json.dumps(kernel | {"display_name": "Colab-like"}), "utf-8")
    done.write_text(json.dumps(PACKAGES))
    return python


def run(path):
    """Run one notebook; an exception if a cell fails, ValueError if it warns or shows fewer outputs than it should."""
    nb = nbformat.read(path, as_version=4)
    stored = {cell.id: len(cell.outputs) for cell in nb.cells if cell.cell_type == "code"}
    home = tempfile.mkdtemp(prefix="ppo_lesson_home_")
    places = {"metadata": {"path": str(path.parent)}}
    client = NotebookClient(nb, timeout=600, kernel_name="colab-like", coalesce_streams=True, resources=places)
    try:
        client.execute(env=notebooks.kernel_environment(home))
    finally:
        shutil.rmtree(home, ignore_errors=True)
    for cell in (cell for cell in nb.cells if cell.cell_type == "code"):
        if warnings := [output.text for output in cell.outputs if output.get("name") == "stderr"]:
            raise ValueError(f"cell {cell.id} writes to stderr: {warnings[0]}")
        if len(cell.outputs) != stored[cell.id]:
            raise ValueError(f"cell {cell.id} has {len(cell.outputs)} outputs here, and {stored[cell.id]} as committed")


if __name__ == "__main__":
    python = prepare()
    os.environ["JUPYTER_PATH"] = str(HOME / "share" / "jupyter")
    versions = "import ipywidgets, IPython, matplotlib, numpy; print(*(m.__name__ + ' ' + m.__version__ for m in"
    subprocess.run([str(python), "-c", f"{versions} (ipywidgets, IPython, matplotlib, numpy)))"], check=True)
    for path in [Path(name).resolve() for name in sys.argv[1:]] or notebooks.all_notebooks():
        run(path)
        print(f"{path.name}: passed", flush=True)
    tests = sorted(map(str, (ROOT / "tests").glob("test_viz*.py")))
    sys.exit(subprocess.run([str(python), "-m", "pytest", "-q", *tests], cwd=ROOT).returncode)
