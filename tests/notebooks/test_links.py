"""Links that point into this repository lead somewhere, and so do their #anchors. Links to the web are not followed."""

import re
import urllib.parse
from pathlib import Path

import nbformat
import pytest

import notebooks

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "notebooks").glob("*.md")),
    *sorted((ROOT / "data").glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *notebooks.all_notebooks(),
]


def markdown(path):
    """The text of a page, code taken out."""
    if path.suffix == ".ipynb":
        nb = nbformat.read(path, as_version=4)
        text = "\n\n".join(cell.source for cell in nb.cells if cell.cell_type == "markdown")
    else:
        text = path.read_text("utf-8")
    return re.sub(r"(?s)```.*?```|`[^`\n]*`", "", text)


def links(text):
    """Targets of [text](target), ![alt](target), href="target" and src="target"."""
    return re.findall(r"\]\(([^()\s]+)\)", text) + re.findall(r"(?:href|src)=\"([^\"]+)\"", text)


def anchors(text):
    """The anchors of a page's headings: GitHub's (lower case) and JupyterLab's (as written)."""
    found = set(re.findall(r"(?:id|name)=\"([^\"]+)\"", text))
    for heading in re.findall(r"(?m)^#{1,6} +(.+?)\s*$", text):
        found.add(re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-"))
        found.add(heading.replace(" ", "-"))
    return found


def broken(path, root=ROOT):
    """The internal links of a page that lead nowhere."""
    wrong = []
    for link in links(markdown(path)):
        address = urllib.parse.urlparse(link)
        if address.scheme or address.netloc:
            continue
        target = path if not address.path else path.parent / urllib.parse.unquote(address.path)
        anchor = urllib.parse.unquote(address.fragment)
        if (
            not target.exists()
            or root not in target.resolve().parents
            or (anchor and anchor not in anchors(markdown(target)))
        ):
            wrong.append(link)
    return wrong


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_internal_links_resolve(path):
    assert not broken(path)


def test_broken_links_are_seen(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# One two\n[a](#one-two) [b](#three) [c](gone.md) [d](page.md#one-two) ![e](https://x.org/y.png)")
    assert broken(page, tmp_path) == ["#three", "gone.md"]


NUMBERED = {path.name[:2]: path for path in notebooks.all_notebooks()}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_notebook_that_is_named_by_its_number_is_that_one(path):
    """A link "[01 · title](01_title.ipynb)" leads to the number it says; "notebook 12" exists; "Next" is the next."""
    text = markdown(path)
    for number, file in re.findall(r"\[`?(\d\d)\b[^\]]*\]\((?:[^()\s]*/)?(\d\d)_[^()\s]*\.ipynb", text):
        assert number == file, f"a link says {number} and leads to {file}"
    named = re.findall(r"\bnotebooks? (\d\d)\b(?:(?:,| to| and|, and) (\d\d)\b)?", text)
    assert not {n for pair in named for n in pair if n} - NUMBERED.keys()
    if path.suffix == ".ipynb" and f"{int(path.name[:2]) + 1:02}" in NUMBERED:
        after = re.search(r"\*\*Next:\*\* \[?(?:notebook )?(\d\d)\b", text)
        assert after and int(after[1]) == int(path.name[:2]) + 1
