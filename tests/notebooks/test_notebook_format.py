"""Every committed notebook has the form that learners, GitHub and the tools rely on. Nothing is executed here."""

import ast
import html
import re
import statistics

import nbformat
import pytest
from outputs import WIDGET_VIEW

import notebooks

PATHS = notebooks.all_notebooks()
pytestmark = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)

README = notebooks.ROOT / "README.md"
IMAGES = ("image/png", "image/jpeg", "image/svg+xml")
HEADER = {
    "a title such as '# 01 · A maze you can solve exactly'": r"\A# \d\d · \S",
    "the words 'What you will be able to do'": r"(?i)what you will be able to do",
    "the word 'Prerequisites'": r"(?i)prerequisites",
    "how long it takes to read, in minutes": r"(?m)^(?!.*<!-- minutes -->).*\d+ minutes",
    "the line with <!-- minutes -->, filled by tools/notebooks.py": r"\*\*Run time:\*\* \d.*<!-- minutes -->",
    "the line with <!-- colab -->, filled by tools/notebooks.py": r"\*\*Colab:\*\* .*<!-- colab -->",
}


def read(path):
    return nbformat.read(path, as_version=4)


def code(path):
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def prose(path):
    return [cell for cell in read(path).cells if cell.cell_type == "markdown"]


def outputs(path):
    return [(cell, output) for cell in code(path) for output in cell.outputs]


def test_is_what_the_tools_write(path):
    """Metadata, first cell, header lines and file format are exactly those of tools/notebooks.py; no widget state."""
    nb = read(path)
    tidy = nbformat.writes(notebooks.normalise(nb, path), version=4) + "\n"
    assert path.read_text("utf-8") == tidy, f"run: python tools/notebooks.py execute {path.name}"
    assert "widgets" not in nb.metadata


def test_outputs_are_fresh(path):
    assert not notebooks.stale(path), "outputs are older than the code they show; run: make notebooks ARGS=--stale"


def test_executed_in_order(path):
    assert [cell.execution_count for cell in code(path)] == list(range(1, len(code(path)) + 1))


def test_no_errors_and_no_stderr(path):
    for cell, output in outputs(path):
        expected = "raises-exception" in cell.metadata.get("tags", [])
        assert output.output_type != "error" or expected, f"cell {cell.id} ends in {output.get('ename')}"
        assert output.get("name") != "stderr", f"cell {cell.id} writes to stderr: {output.get('text')}"


def test_outputs_are_small(path):
    assert path.stat().st_size <= notebooks.MAX_BYTES


def test_every_picture_has_words(path):
    for cell in code(path):
        page = "".join(output.get("data", {}).get("text/html", "") for output in cell.outputs)
        for output in cell.outputs:
            for kind in IMAGES:
                if kind in output.get("data", {}):
                    alt = output.metadata.get(kind, {}).get("alt", "")
                    assert len(alt.split()) >= 4, f"a picture of cell {cell.id} has no alt text"
                    assert html.escape(alt) in page, f"a picture's words are not in the page: cell {cell.id}"
            if "image/svg+xml" in output.get("data", {}):  # JupyterLab does not show it in a notebook nobody ran
                assert "<img alt=" in output.data["text/html"], f"cell {cell.id} shows nothing before it is run"
    for cell in prose(path):
        assert "![](" not in cell.source, f"a picture in cell {cell.id} has no alt text"


def test_outputs_mean_something_on_github(path):
    """No widget that needs a kernel to be seen, and no memory address, which would change at every run."""
    for cell, output in outputs(path):
        data = output.get("data", {})
        assert WIDGET_VIEW not in data, f"cell {cell.id} stores a widget; run tools/notebooks.py execute"
        kept = "image/svg+xml;base64" not in data.get("text/html", "") or "image/png" in data
        assert kept, f"cell {cell.id} shows a picture only as data in HTML, which GitHub may refuse"
        text = data.get("text/plain", "") + output.get("text", "")
        assert not re.match(r"\w+\(children=|\w+(Slider|Box)\(", text), f"cell {cell.id} shows only a widget's name"
        assert "<Figure size" not in text or set(data) & set(IMAGES), f"cell {cell.id} shows only a figure's name"
        assert not re.search(r"\b0x[0-9a-f]{6,}", text), f"cell {cell.id} shows a memory address"


def test_header_card(path):
    first = read(path).cells[0]
    assert (first.cell_type, first.id) == ("markdown", "header")
    for part, pattern in HEADER.items():
        assert re.search(pattern, first.source), f"the header card lacks {part}"
    assert first.source[2:4] == path.name[:2]


def test_the_readme_lists_it(path):
    """With the title and the minutes of its header card."""
    header = read(path).cells[0].source
    title = header.splitlines()[0].partition(" · ")[2]
    minutes = re.search(r"(?m)^(?!.*<!-- minutes -->).*?(\d+) minutes", header)[1]
    row = [line for line in README.read_text("utf-8").splitlines() if f"(notebooks/{path.name})" in line]
    assert len(row) == 1 and f"[{title}]" in row[0] and row[0].endswith(f"| {minutes} |"), f"{title}, {minutes} minutes"


def test_first_code_cell_finds_the_course(path):
    assert code(path)[0].id == "bootstrap"
    assert code(path)[0].source == notebooks.bootstrap(), "run tools/notebooks.py refresh"


def test_what_makes_it_ready_is_folded_and_a_line_says_so(path):
    cells = read(path).cells
    first = next(i for i, cell in enumerate(cells) if cell.cell_type == "code")
    assert "cells are folded" in cells[first - 1].source
    last = next(i for i in range(first, len(cells)) if cells[i].cell_type == "markdown")
    for cell in cells[first:last]:
        only_imports = all(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.parse(cell.source).body)
        assert cell.metadata.get("jupyter", {}).get("source_hidden") or not only_imports, f"cell {cell.id} stands open"
    assert cells[first].metadata.jupyter.source_hidden and cells[first + 1].metadata.jupyter.source_hidden


def test_a_picture_stands_below_a_few_lines_of_code(path):
    shown = re.compile(r"^\s*(Panel|Replay|show)\(", re.MULTILINE)
    open_ones = [cell for cell in code(path) if not cell.metadata.get("jupyter", {}).get("source_hidden")]
    lines = {cell.id: len(cell.source.splitlines()) for cell in open_ones if shown.search(cell.source)}
    assert not {name: n for name, n in lines.items() if n > 10}, "longer ones are folded: tags=hide-input"


def test_cells_are_short(path):
    lines = {cell.id: len(cell.source.splitlines()) for cell in code(path)}
    assert not {name: n for name, n in lines.items() if n > 25}, "code cells have at most 25 lines"
    unformatted = [cell.id for cell in code(path) if "# fmt:" in cell.source]
    assert not unformatted, "ruff format is law in cells too"
    assert statistics.median(lines.values()) <= 9
    assert statistics.median(len(cell.source.split()) for cell in prose(path)) <= 30


def test_calm_prose(path):
    for cell in prose(path):
        text = re.sub(r"(?s)```.*?```|<pre>.*?</pre>|<!--.*?-->|\$\$.*?\$\$", "", cell.source)
        text = re.sub(r"`[^`]*`|\$[^$]*\$|!\[", "", text)
        assert "!" not in text, f"an exclamation mark in cell {cell.id}"


def test_ids_are_fixed_names(path):
    """Cells keep their names from the first day: a translation is compared cell by cell."""
    ids = [cell.id for cell in read(path).cells]
    assert len(ids) == len(set(ids))
    for name in ids:
        assert re.fullmatch(r"[a-z][a-z0-9_-]*", name), f"cell id {name!r}: use lower-case words"
        assert not re.fullmatch(r"[0-9a-f]{8}(-.*)?", name), f"cell id {name!r} looks random"


def test_no_transformers_before_notebook_10(path):
    if path.name[:2] >= "11":
        return
    for cell in code(path):
        for node in ast.walk(ast.parse(cell.source)):
            named = (
                [a.name for a in node.names] if isinstance(node, ast.Import) else [getattr(node, "module", None) or ""]
            )
            assert not any(name.split(".")[0] == "transformers" for name in named), f"cell {cell.id}"
