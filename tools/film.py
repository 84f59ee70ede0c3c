"""The README's films: sixty updates of a robot, and the walk off Goodhart's cliff, into docs/images/.

    .venv/bin/python tools/film.py

sixty-updates.svg is what the cell `moving` of notebook 00 shows; goodhart.svg is the stored run without a leash
(data/sweep.json). A test compares the files with what this makes. Left out: everything else that the notebooks do.
"""

import json
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
FILE = IMAGES / "sixty-updates.svg"


def movie(notebook: Path = ROOT / "notebooks" / "00_start_here.ipynb"):
    """The `Movie` that the cell `moving` makes, trained here and now."""
    nb = nbformat.read(notebook, as_version=4)
    (cell,) = (cell for cell in nb.cells if cell.id == "moving")
    names = {}
    exec(cell.source, names)
    return names["movie"]


def goodhart():
    """The `Film` of the first seed without a leash; posts show where the other betas ended."""
    from course.pictures.cliff import cliff

    stored = json.loads((ROOT / "data" / "sweep.json").read_text("utf-8"))["runs"]
    leashes = {
        run["name"]: run for run in reversed(stored) if run["name"].replace("beta ", "").replace(".", "").isdigit()
    }
    runs = {float(name[5:]): run for name, run in leashes.items()}
    return cliff(runs, 0.0, next(iter(runs[0.0]["looks"][0]["samples"])))


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "notebooks")]
    for name, film in (("sixty-updates", movie()), ("goodhart", goodhart())):
        (IMAGES / f"{name}.svg").write_text(film.svg, "utf-8", newline="\n")
        print(f"docs/images/{name}.svg: {film.alt}")
