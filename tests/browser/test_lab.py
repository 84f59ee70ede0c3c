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

# %% fine
import time
from course.pictures import Panel
from course.pictures import slider as fine
seconds = 0
def recompute(x):
    time.sleep(seconds)
    return f"<svg width='90' height='9'><rect width='{900 * x}' height='9'/></svg>"
panel = Panel({"x": fine("x small", 0, 0.1, 0.01, 0.05)}, recompute, "{x}", busy="computing …")
seconds = 0.7
panel
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
    slider, fine = notebook.sliders()
    assert moves_its_picture(notebook, slider)
    assert notebook.latency(slider, "Home") > 0
    # Steps far below a tenth are seen too, each key has its own picture, and the words come before that.
    found = [(notebook.latency(fine, key), notebook.said) for key in ("ArrowRight", "ArrowRight", "ArrowLeft")]
    assert all(said is not None and said < latency and latency >= 700 for latency, said in found), found
    notebook._type(fine, "ArrowRight")  # a key whose picture nobody waits for is not taken for that of the next
    assert notebook.press(fine, "Home") and notebook.latency(fine, "End") >= 700
    assert notebook.faults() == []
    notebook.close()
