"""The README's film: runs the cell `moving` of notebook 00, and writes what it shows to docs/images/sixty-updates.svg.

    .venv/bin/python tools/film.py

The notebook is the one source; a test compares the file with it. Left out: everything else that notebook 00 does.
"""

import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "docs" / "images" / "sixty-updates.svg"


def movie(notebook: Path = ROOT / "notebooks" / "00_start_here.ipynb"):
    """The `Movie` that the cell `moving` makes, trained here and now."""
    nb = nbformat.read(notebook, as_version=4)
    (cell,) = (cell for cell in nb.cells if cell.id == "moving")
    names = {}
    exec(cell.source, names)
    return names["movie"]


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "notebooks")]
    FILE.write_text(movie().svg, "utf-8", newline="\n")
    print(FILE.relative_to(ROOT))
