"""Is this computer ready for the course? `python -m course doctor` looks, and says what to do about what is not.

`examine()` returns one Finding for each thing: versions, device, memory, widgets, the progress file. Versions come from
package metadata, so that nothing heavy but torch is imported, and a broken package cannot break the doctor.
`ready()` is the short form that the first cell of every notebook calls.
Left out on purpose: mending anything by itself outside Colab. It prints the command and leaves your computer to you;
one thing it does when told to, `--fix`: JupyterLab's setting that keeps a panel's picture in a saved notebook.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from ppo_lesson import __version__

from . import widget_state

COURSE = Path(__file__).resolve().parents[2]
INSTALL = 'pip install -c constraints.txt -e ".[course]" (in the course folder)'
NEEDED = ("torch", "numpy", "matplotlib", "PIL", "gymnasium", "farama_notifications", "ipywidgets", "safetensors")
ELSEWHERE = "set PPO_LESSON_HOME to a folder of yours, or progress is not kept"
GIB = 2**30


@dataclass
class Finding:
    """One line of the report. `advice` is empty when all is well; `breaks`: the course will not work like this."""

    name: str
    value: str
    advice: str = ""
    breaks: bool = False


def on_colab():
    """Are we in Colab: in one of its notebooks, or in a command started from one?"""
    return "google.colab" in sys.modules or "COLAB_RELEASE_TAG" in os.environ


def ready(version=__version__):
    """Make sure that this Python has what the notebooks import; silent when it does.

    On Colab the missing packages are installed, in the course's ranges and without their dependencies, so that nothing
    Colab already has is replaced; torch and numpy never. Anywhere else, and for these two, a ModuleNotFoundError names
    them and says what to do. `version` is the notebook's: if the course has another one, a line says so.

    PyTorch, not imported yet, will use one thread, unless OMP_NUM_THREADS says otherwise: on tensors as small as the
    maze's, more of them only get in each other's way.

    In a JupyterLab that would lose the panels of a saved notebook, one line says how to change that.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if version != __version__:
        print(
            f"This notebook is of version {version}, the course in {COURSE} of version {__version__}: open the "
            f"notebook that came with it, or move the folder away, put version {version} there and restart the kernel."
        )
    missing = {name: "pillow" if name == "PIL" else name for name in NEEDED if find_spec(name) is None}
    if missing and on_colab() and not {"torch", "numpy"} & set(missing):
        packages = [name + requirements().get(name, "") for name in missing.values()]
        if subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", *packages]).returncode:
            raise ModuleNotFoundError(f"pip did not install {packages} (its words stand above): run this cell again.")
    elif missing:
        here = f"start the course with `make lab`, or install it: {INSTALL}"
        advice = "choose a newer runtime" if on_colab() else here
        raise ModuleNotFoundError(f"this Python ({sys.executable}) has no {', '.join(missing)}; {advice}")
    if "JPY_SESSION_NAME" in os.environ and any(finding.advice for finding in next_day()):
        print(  # Jupyter's server names its kernels so; what runs notebooks alone does not
            "This JupyterLab would not show the panels of a saved notebook again tomorrow. To change that, run\n"
            "from course.widget_state import keep; keep()\nin a new cell, then reload the page."
        )


# ---- versions ------------------------------------------------------------------------------------------------------


def numbers(text):
    """The release part of a version as numbers: "2.13.0+cpu" -> (2, 13, 0)."""
    return tuple(int(part) for part in re.match(r"\d+(?:\.\d+)*", text)[0].split("."))


def allowed(installed, ranges):
    """Does a version satisfy ranges such as ">=4.56,<6"?

    >>> allowed("2.13.0+cpu", ">=2.6"), allowed("6.0.1", ">=4.56,<6"), allowed("6.0", "<6")
    (True, False, False)
    """
    for sign, bound in re.findall(r"(>=|<)\s*([\d.]+)", ranges):
        padded = [value + (0,) * (4 - len(value)) for value in (numbers(installed), numbers(bound))]
        if (padded[0] >= padded[1]) != (sign == ">="):
            return False
    return True


def requirements():
    """What the course needs, {package: ranges}: requirements.txt."""
    lines = (COURSE / "requirements.txt").read_text("utf-8").splitlines()
    found = (re.match(r"([\w.-]+)\s*([<>=\d.,\s]*)$", line.partition("#")[0].strip()) for line in lines)
    return {match[1]: match[2] for match in found if match}


def installed(package):
    """The installed version of a package, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def versions():
    """Python and every package of requirements.txt."""
    python = ".".join(map(str, sys.version_info[:3]))
    old = sys.version_info < (3, 11)
    yield Finding("python", f"{python}  {sys.executable}", "install Python 3.11 or newer" if old else "", old)
    for package, ranges in ({"ipython": ""} | requirements()).items():
        have = installed(package)
        optional = package == "jupyterlab"  # Colab and VS Code bring their own
        advice = ""
        if have is None:
            advice = f"not installed: {INSTALL}"
        elif not allowed(have, ranges):
            advice = f"the course needs {package}{ranges}: {INSTALL}"
        if optional and on_colab():
            advice = ""
        yield Finding(package, have or "missing", advice, bool(advice) and not optional)


# ---- the computer --------------------------------------------------------------------------------------------------


def device():
    """CPU threads, and the GPU if torch can use one."""
    cores = os.cpu_count()
    try:
        import torch
    except Exception as problem:  # an ImportError, or an OSError from a library that does not load
        advice = f"torch does not load ({problem}); see https://pytorch.org/get-started/locally/"
        yield Finding("device", f"CPU, {cores} cores", " ".join(advice.split()), True)
        return
    yield Finding("device", f"CPU, {cores} cores, torch uses {torch.get_num_threads()} threads")
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            card = torch.cuda.get_device_properties(index)
            text = f"{card.name}, compute capability {card.major}.{card.minor}, {card.total_memory / GIB:.0f} GiB"
            yield Finding(f"cuda:{index}", text)
    else:
        idle = shutil.which("nvidia-smi") is not None
        advice = "a GPU driver is here, but this torch cannot use it: https://pytorch.org/get-started/locally/"
        yield Finding("cuda", "none; the course does not need one", advice if idle else "")


def memory():
    """Free and total memory, where psutil (it comes with ipykernel) can tell."""
    try:
        import psutil
    except ImportError:
        return [Finding("memory", "unknown (psutil is missing)")]
    state = psutil.virtual_memory()
    advice = "less than 1 GiB is free: close other programs first" if state.available < GIB else ""
    return [Finding("memory", f"{state.available / GIB:.1f} of {state.total / GIB:.1f} GiB free", advice)]


# ---- what a learner sees and keeps ---------------------------------------------------------------------------------


def extension_folders():
    """Where JupyterLab looks for its extensions."""
    try:
        from jupyter_core.paths import jupyter_path
    except ImportError:
        return [Path(sys.prefix, "share", "jupyter", "labextensions")]
    return [Path(place) for place in jupyter_path("labextensions")]


def widgets():
    """Will sliders show? JupyterLab needs the package jupyterlab_widgets that fits ipywidgets, and its extension."""
    kernel, lab = installed("ipywidgets"), installed("jupyterlab_widgets")
    if kernel is None:
        return [Finding("widgets", "no", f"sliders need ipywidgets: {INSTALL}", True)]
    if on_colab():
        return [Finding("widgets", f"ipywidgets {kernel} in Colab")]
    if installed("jupyterlab") is None:
        return [Finding("widgets", f"ipywidgets {kernel}; no JupyterLab here, so your editor must show them")]
    fits = lab is not None and numbers(lab)[0] == {7: 1, 8: 3}.get(numbers(kernel)[0])
    shown = any((folder / "@jupyter-widgets" / "jupyterlab-manager").is_dir() for folder in extension_folders())
    again = "pip install --force-reinstall ipywidgets jupyterlab_widgets; restart JupyterLab"
    text = f"ipywidgets {kernel}, jupyterlab_widgets {lab or 'missing'}, extension {'found' if shown else 'missing'}"
    return [
        Finding("widgets", text, "" if fits and shown else f"sliders would show as text: {again}", not (fits and shown))
    ]


def next_day():
    """Are panels, predictions and quizzes of a saved notebook there when it is opened again?"""
    if on_colab() or installed("jupyterlab") is None:
        return []
    kept = widget_state.kept()
    value = "kept" if kept else "not kept by JupyterLab" + (", as you chose" if kept is False else "")
    advice = f"python -m course doctor --fix, or {widget_state.BY_HAND}" if kept is None else ""
    return [Finding("saved panels", value, advice)]


def progress_file():
    """Can answers be kept? A progress file that is broken or cannot be written costs a warning, never a notebook."""
    try:  # the folder is that of check/records.py, which is not imported: the doctor works where torch does not
        folder = Path(os.environ.get("PPO_LESSON_HOME") or Path.home() / ".ppo_lesson")
    except RuntimeError:
        return [Finding("progress", "no home folder", ELSEWHERE)]
    file = folder / "progress.json"
    try:
        if file.is_file():
            json.loads(file.read_text("utf-8"))
        place = next(p for p in (folder, *folder.parents) if p.exists())
        with tempfile.TemporaryFile(dir=place) as probe:
            probe.write(bytes(4096))  # on a full disk a file can be made, but not written
        if file.exists() and not os.access(file, os.W_OK):
            raise PermissionError("the file is read-only")
    except ValueError:
        advice = "not readable as JSON: your next answer sets it aside and begins a new one"
        return [Finding("progress", str(file), advice)]
    except OSError as problem:
        return [Finding("progress", str(file), f"cannot be written ({problem.strerror or problem}): {ELSEWHERE}")]
    return [Finding("progress", f"{file}, {'kept so far' if file.exists() else 'not begun'}")]


def examine():
    """Everything the doctor looks at: a list of Finding."""
    return [finding for look in (versions, device, memory, widgets, next_day, progress_file) for finding in look()]


def doctor(fix=False):
    """Print the report; with `fix`, first do the one thing that the module's first lines name.

    Returns 1 if something is wrong that breaks the course, else 0.
    """
    if fix:
        print(widget_state.keep() + "\n")
    findings = examine()
    for finding in findings:
        print(f"{'!' if finding.advice else ' '} {finding.name:<12} {finding.value}")
    wrong = [finding for finding in findings if finding.advice]
    print()
    for finding in wrong:
        print(f"{finding.name}: {finding.advice}")
    breaks = any(finding.breaks for finding in findings)
    print("The course will not work like this yet." if breaks else "Ready for the course.")
    return int(breaks)
