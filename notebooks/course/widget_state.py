"""Run, save, close, open tomorrow: JupyterLab keeps the pictures of panels only if it saves the state of widgets.

Without that, every panel, prediction and quiz of a saved notebook reads "Error displaying widget: model not found"
until its cells run again. JupyterLab and Notebook 7 have a setting for it, off by default, and a folder `overrides.d`
for defaults that packages bring. There `make lab` and `python -m course doctor --fix` write a file of ours, beside
everybody else's; what a learner chose in the Settings menu, or in `overrides.json`, goes before it. Left out: VS Code,
which keeps no state of widgets (there the cells run again), and a JupyterLab in another environment than this Python.
"""

import contextlib
import json
import os
import re
import site
import sys
import tomllib
from pathlib import Path

DEFAULTS = {"@jupyter-widgets/jupyterlab-manager:plugin": {"saveState": True}}
PAGE = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))  # HTML that widgets bring along
BY_HAND = "tick Save Widget State Automatically in JupyterLab's Settings menu"


def settings():
    """The folder of JupyterLab's own settings: in this environment, or where pip installs for a user or for all."""
    if "JUPYTERLAB_DIR" in os.environ:
        return Path(os.environ["JUPYTERLAB_DIR"], "settings")
    labs = [Path(place, "share", "jupyter", "lab") for place in (sys.prefix, site.getuserbase(), "/usr/local")]
    return next((lab for lab in labs if (lab / "static").is_dir()), labs[0]) / "settings"


def user_settings():
    """The folder of what a user chose in JupyterLab's menus."""
    home = os.environ.get("JUPYTER_CONFIG_DIR") or Path("~/.jupyter").expanduser()
    return Path(os.environ.get("JUPYTERLAB_SETTINGS_DIR") or Path(home, "lab", "user-settings"))


def kept():
    """Does JupyterLab save the state of widgets? True, False (somebody chose so), or None (nobody chose: it does not).

    Reads the files that JupyterLab reads, in its order; the last word counts.
    """
    folder, found = settings(), None
    files = [*sorted((folder / "overrides.d").glob("*.json*")), *sorted(folder.glob("overrides.json*"))]
    with contextlib.suppress(RuntimeError):  # there may be no home folder
        files.append(user_settings() / "@jupyter-widgets" / "jupyterlab-manager" / "plugin.jupyterlab-settings")
    for file in files:
        try:
            said = re.findall(r'"saveState"\s*:\s*(true|false)', file.read_text("utf-8"))  # JSON with comments
        except (OSError, ValueError):
            continue
        found = said[-1] == "true" if said else found
    return found


def keep():
    """Write the setting where nobody chose. Returns what was done, or why not and the way on, in a sentence."""
    if (now := kept()) is not None:
        return f"JupyterLab saves the state of widgets: {'yes' if now else 'no, by your own choice in its settings'}."
    file = settings() / "overrides.d" / "ppo-lesson.json"
    part = file.with_suffix(".part")  # JupyterLab never reads half a file
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(DEFAULTS, indent=2) + "\n", "utf-8")
        part.replace(file)
    except OSError as problem:
        reason = problem.strerror or problem
        return f"{file} cannot be written ({reason}). Make room there and repeat, or {BY_HAND}."
    return f"From its next start or reload JupyterLab saves the state of widgets ({file})."


if __name__ == "__main__":  # `make lab`: a word only where something is done, or cannot be
    if kept() is None:
        print(keep())
