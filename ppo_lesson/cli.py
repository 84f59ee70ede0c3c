"""`ready()`, which the first cell of every notebook calls. The command line comes with it."""

import subprocess
import sys
from importlib.util import find_spec

NEEDED = ("torch", "numpy", "matplotlib", "PIL", "gymnasium", "farama_notifications", "ipywidgets", "safetensors")


def on_colab():
    """Are we in a Colab notebook?"""
    return "google.colab" in sys.modules


def ready():
    """Make sure that this Python has what the notebooks import; silent when it does.

    On Colab the missing packages are installed without their dependencies, so that nothing Colab already loaded is
    replaced. Anywhere else a ModuleNotFoundError names them and says what to do.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing and on_colab():
        packages = ["pillow" if name == "PIL" else name for name in missing]
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", *packages], check=True)
    elif missing:
        raise ModuleNotFoundError(
            f"this Python ({sys.executable}) has no {', '.join(missing)}. Start the course with `make lab`, "
            "or install it into this Python from the course folder: pip install -c constraints.txt -e ."
        )
