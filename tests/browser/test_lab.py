"""The browser test can fail: a notebook full of faults, and one without."""

import pytest
from lab import Lab
from test_notebooks import moves_its_picture

import notebooks

FAULTY = """\
# %% expected tags=raises-exception
[][1]

# %% silent
import ipywidgets as W
slider = W.IntSlider(description="silent")
slider.observe(lambda change: 1 / 0, names="value")
slider

# %% foreign
W.HTML("<img src='http://example.invalid/x.png' alt='a picture of another host'>")

# %% bad
1 / 0
"""
SOUND = """\
# %% panel
import ipywidgets as W
slider, picture = W.IntSlider(description="width", min=1, max=9), W.HTML()
def draw(change=None):
    picture.value = f"<svg width='90' height='9'><rect width='{slider.value}0' height='9'/></svg>"
slider.observe(draw, names="value")
draw()
W.VBox([slider, picture])
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("a folder")
    for name, text in (("faulty.ipynb", FAULTY), ("sound.ipynb", SOUND)):
        notebooks.save(notebooks.normalise(notebooks.from_text(text), name), folder / name)
    with Lab(folder) as running:
        yield running


def test_faults_are_seen(lab):
    notebook = lab.open(lab.root / "faulty.ipynb")
    notebook.run()
    found = " / ".join(notebook.faults())
    assert "cell bad ends in ZeroDivisionError" in found
    assert "asked the host example.invalid" in found
    (slider,) = notebook.sliders()
    assert slider["label"] == "silent" and not moves_its_picture(notebook, slider)
    notebook.page.wait_for_function("() => window.kernelErrors.length")
    found = " / ".join(notebook.faults())
    assert found.count("kernel: ZeroDivisionError") > 1 and "expected" not in found
    notebook.close()


def test_a_sound_notebook_has_none(lab):
    notebook = lab.open(lab.root / "sound.ipynb")
    notebook.run()
    (slider,) = notebook.sliders()
    assert moves_its_picture(notebook, slider)
    assert 0 < notebook.latency(slider, "Home") < 3000
    assert notebook.faults() == []
    notebook.close()
