"""notebooks/CLAIMS.md: every claim about a paper names what checks it, and what it names exists."""

import functools
import re
from pathlib import Path

import nbformat
from test_interpretations import fault

import notebooks

ROOT = Path(__file__).resolve().parents[2]
UNCHECKED = "not checked here"


def rows():
    """(notebook, claim, source, checked by) of each row of the table."""
    lines = (ROOT / "notebooks" / "CLAIMS.md").read_text("utf-8").splitlines()
    cells = [[part.strip() for part in line.strip().strip("|").split(" | ")] for line in lines if line.startswith("| ")]
    return [row for row in cells if re.fullmatch(r"\d\d", row[0])]


@functools.cache
def cells(path):
    """The cells of a notebook, read once for all its rows."""
    return nbformat.read(path, as_version=4).cells


def exists(check):
    """Is `02#cell-id` a cell of notebook 02, or `tests/core/test_x.py::test_y` a test?"""
    if found := re.fullmatch(r"(\d\d)#([\w-]+)", check):
        paths = [path for path in notebooks.all_notebooks() if path.name.startswith(found[1])]
        return any(cell.id == found[2] for path in paths for cell in cells(path))
    if found := re.fullmatch(r"(tests/\w+/\w+\.py)::(\w+)", check):
        file = ROOT / found[1]
        return file.is_file() and re.search(rf"^def {found[2]}\(", file.read_text("utf-8"), re.MULTILINE) is not None
    return False


def test_every_claim_names_its_source_and_its_check():
    for row in rows():
        assert len(row) == 4 and all(row), f"a row needs four columns: {row}"
        checks = re.findall(r"`([^`]+)`", row[3])
        assert checks or row[3] == UNCHECKED, f"name a cell as `02#cell-id`, a test, or {UNCHECKED!r}: {row}"
        for check in checks:
            assert exists(check), f"{check} is named in CLAIMS.md and does not exist"


def test_one_of_the_checks_asserts_something():
    named = [(path.name[:2], cell) for path in notebooks.all_notebooks() for cell in cells(path)]
    code = {f"{number}#{cell.id}": cell.source for number, cell in named if cell.cell_type == "code"}
    for row in rows():
        checks = re.findall(r"`([^`]+)`", row[3])
        faults = [fault(check, code) for check in checks]
        assert not checks or "" in faults, f"{row}: {'; '.join(faults)}"


def test_at_most_a_quarter_is_unchecked():
    unchecked = [row for row in rows() if row[3] == UNCHECKED]
    assert len(unchecked) <= len(rows()) / 4, unchecked


def test_exists_tells_the_difference():
    assert exists("tests/notebooks/test_claims.py::test_exists_tells_the_difference")
    assert not exists("tests/notebooks/test_claims.py::test_that_nobody_wrote")
    assert not exists("00#a-cell-that-nobody-wrote")
    assert not exists("somewhere")
