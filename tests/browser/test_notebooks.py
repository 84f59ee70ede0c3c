"""Every notebook in a real JupyterLab: it runs without a fault, and every slider moves its picture. `make browser`.

FULL="00 06" runs those and opens the others as they are committed; empty or "all" runs every notebook.
Screenshots of what was seen go to screenshots/.
"""

import os

import pytest
from lab import ROOT, Lab

import notebooks

FULL = [name if name == "all" else notebooks.named(name).name[:2] for name in os.environ.get("FULL", "").split()]
PATHS = notebooks.all_notebooks()
LIVE = {
    "00": ("update", "p random"),
    "06": ("ε clip range",),
    "07": ("β price", "target KL"),
    "15": ("β leash",),
}  # CI runs these


@pytest.fixture(scope="module")
def lab():
    with Lab() as running:
        yield running


@pytest.fixture
def notebook(lab, request):
    opened = lab.open(request.param)
    yield opened
    opened.screenshots(ROOT / "screenshots")
    opened.close()


def moves_its_picture(notebook, slider):
    """Does the picture follow the slider to its ends and back one step? All three keys are tried: none may break it."""
    return sum(notebook.press(slider, key) for key in ("Home", "End", "ArrowLeft")) > 0


@pytest.mark.parametrize("notebook", PATHS, ids=lambda path: path.stem, indirect=True)
def test_notebook(notebook):
    before = notebook.path.read_bytes()
    assert notebook.faults(executed=False) == []  # as it is committed
    if not FULL or "all" in FULL or notebook.path.name[:2] in FULL:
        notebook.run()
        assert notebook.faults() == []
        labels = {slider["label"] for slider in notebook.sliders()}
        assert labels >= set(LIVE.get(notebook.path.name[:2], ()))
        dead = [s["label"] for s in notebook.sliders() if not s["disabled"] and not moves_its_picture(notebook, s)]
        assert dead == []
        assert notebook.faults() == []  # moving the sliders broke nothing
    assert notebook.path.read_bytes() == before
