"""docs/numpy.md tells the truth: every snippet prints what stands there, and notebook and check lead to it."""

import doctest
import re

import nbformat

import notebooks

PAGE = notebooks.ROOT / "docs" / "numpy.md"


def test_every_snippet_prints_what_stands_there():
    text = re.sub(r"(?m)^```.*$", "", PAGE.read_text("utf-8"))  # a fence would count as output
    snippets = doctest.DocTestParser().get_doctest(text, {}, PAGE.name, str(PAGE), 0)
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    failed, tried = doctest.DocTestRunner(optionflags=flags).run(snippets)
    assert not failed and tried >= 20


def test_every_word_of_its_table_is_pytorchs():
    import torch

    rows = re.findall(r"(?m)^\| (`.*`.*) \| (`.*`.*) \|$", PAGE.read_text("utf-8"))
    assert len(rows) >= 12
    for _, right in rows:
        for name in re.findall(r"(?:torch|x)((?:\.\w+)+)", right):
            here = torch if f"torch{name}" in right else torch.zeros(1)
            for part in name[1:].split("."):
                here = getattr(here, part)
        assert "axis" not in right and "np." not in right


def test_the_first_two_notebooks_lead_to_it():
    for path in notebooks.all_notebooks()[:2]:
        text = "".join(c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "markdown")
        assert "(../docs/numpy.md)" in text, path.name
