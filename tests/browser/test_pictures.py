"""A picture in every place where a reader meets it: run, not run, opened again the next day, dark, narrow, as a page.

The notebook below has one of each kind: a still picture, panels with a PNG and with an SVG, the table of progress.
It is executed into a scratch folder as `make notebooks` does, so it is also what a fresh clone shows.
"""

import html
import re
import shutil
import subprocess
import sys

import nbformat
import pytest
from lab import ROOT, Lab

import notebooks
from course.pictures.of_gpu import batch_card
from course.pictures.of_judge import Judge, reply_card
from course.pictures.of_rlhf import data_flow
from course.pictures.of_tokens import stretches
from course.pictures.style import ESTIMATE, EXACT, MUTED, NEGATIVE, NEW, OLD, POSITIVE, REFERENCE
from course.pictures.tokens import token_strip

SAMPLE = """\
# %% bootstrap

# %% imports
from course.check import progress
from course.pictures import MUTED, NEGATIVE, Panel, figure, show, slider
from course.pictures.svg import svg, text

# %% still
fig, ax = figure(width=7.6, xlabel="t", ylabel="J")
show(fig, "Still: an empty pair of axes, 1 < 2.")

# %% panel
fig, ax = figure(width=7.6, xlim=(0, 9))
line = ax.axvline(1, animated=True)
def draw(x):
    line.set_xdata([x, x])
    return fig
Panel({"x": slider("x place", 0, 9, 1, 3)}, draw, alt="Panel: a line at {x:.0f}.")

# %% letters
def write(y):
    return svg([text(8, 20, f"grey {y:.0f}", MUTED), text(8, 50, "orange", NEGATIVE)], 60)
Panel({"y": slider("y value", 0, 9, 1, 4)}, write, alt="Letters: grey {y:.0f} & orange.")

# %% progress
progress()
"""
SAID = ("Still: an empty pair of axes, 1 < 2.", "Panel: a line at 3.", "Letters: grey 4 & orange.")
# What a reader without eyes gets from each output area of a page: texts, and the names of its pictures.
SPOKEN = """() => [...document.querySelectorAll('.jp-Cell-outputWrapper')].map(area => [area.textContent,
  ...[...area.querySelectorAll('img')].map(i => i.alt),
  ...[...area.querySelectorAll('[aria-label]')].map(e => e.getAttribute('aria-label'))].join(' | ')).join(' || ')"""
SEEN = """() => [...document.querySelectorAll('.jp-OutputArea-output img, .jp-OutputArea-output svg')]
  .filter(e => !e.closest('button, summary')).map(e => { const box = e.getBoundingClientRect();
    let scroller = e.parentElement;
    while (scroller && !/auto|scroll/.test(getComputedStyle(scroller).overflowX)) scroller = scroller.parentElement;
    return { loaded: e.tagName === 'svg' || e.naturalWidth > 0, width: box.width, height: box.height,
      full: parseFloat(e.getAttribute('width')), room: scroller?.clientWidth, scrolls: scroller?.scrollWidth }; })"""
# What stands before each part of a widget whose Python is gone. ipywidgets puts a broken link there, and no word.
BEFORE = """() => [...document.querySelectorAll('.jupyter-widgets-disconnected')]
  .map(e => getComputedStyle(e, '::before').content).filter(words => words !== 'none')"""
# Every text of every SVG in the page against what is painted beneath it: [contrast, words], the lowest per text.
CONTRAST = """() => {
  const rgb = c => { const n = c.match(/[\\d.]+/g).map(Number); return n.length < 4 ? [...n, 1] : n; };
  const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3]));
  const light = c => { const l = c.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * l[0] + 0.7152 * l[1] + 0.0722 * l[2]; };
  const shade = e => { const s = getComputedStyle(e);
    const inside = e.ownerSVGElement && e.tagName !== 'svg';
    if (inside && s.fill === 'none') return [0, 0, 0, 0];
    const c = rgb(inside ? s.fill : s.backgroundColor);
    return [...c.slice(0, 3), c[3] * (inside ? s.fillOpacity : 1) * s.opacity]; };
  return [...document.querySelectorAll('svg text')].map(text => {
    text.scrollIntoView({block: 'center'});
    const box = text.getBoundingClientRect(), ink = shade(text);
    const found = [0.02, 0.25, 0.5, 0.75, 0.98].map(share => {
      const under = document.elementsFromPoint(box.x + share * box.width, box.y + box.height / 2)
        .filter(e => !['text', 'tspan', 'g', 'line', 'polyline'].includes(e.tagName));
      const ground = under.reverse().reduce((below, e) => over(shade(e), below), [255, 255, 255]);
      const pair = [light(over(ink, ground)) + 0.05, light(ground) + 0.05];
      return Math.max(...pair) / Math.min(...pair); });
    return [Math.min(...found), text.textContent]; });
}"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the sample and with notebook 00, as they are committed."""
    folder = tmp_path_factory.mktemp("a folder")
    notebooks.save(notebooks.from_text(SAMPLE), folder / "sample.ipynb")
    notebooks.execute(folder / "sample.ipynb")
    shutil.copy(ROOT / "notebooks" / "00_start_here.ipynb", folder)
    return folder


@pytest.fixture(scope="module")
def lab(folder):
    with Lab(folder) as running:
        yield running


@pytest.fixture(scope="module")
def dark(lab, folder):
    with Lab(folder, theme="Dark", browser=lab.browser) as running:
        yield running


def seen(notebook, pictures=3):
    """The pictures of the page, all of them loaded."""
    found = notebook.page.evaluate(SEEN)
    assert len(found) == pictures and all(picture["loaded"] for picture in found)
    return found


def test_not_run(lab, folder):
    """As in a fresh clone: JupyterLab does not trust the notebook, and shows no raw SVG."""
    notebook = lab.open(folder / "sample.ipynb")
    trusted = "() => window.jupyterapp.shell.currentWidget.content.widgets.some(c => c.model.trusted)"
    assert notebook.page.evaluate(trusted) is False
    assert all(picture["width"] > 700 for picture in seen(notebook))
    spoken = notebook.page.evaluate(SPOKEN)
    assert all(words in spoken for words in SAID)
    assert notebook.faults(executed=False) == []
    notebook.close()


def test_run(lab, folder):
    notebook = lab.open(folder / "sample.ipynb")
    notebook.run()
    assert all(picture["width"] > 700 for picture in seen(notebook))
    assert all(words in notebook.page.evaluate(SPOKEN) for words in SAID)
    for slider in notebook.sliders():
        assert notebook.press(slider, "End")
    spoken = notebook.page.evaluate(SPOKEN)  # the words follow the picture
    assert "Panel: a line at 9." in spoken and "Letters: grey 9 & orange." in spoken
    assert notebook.faults() == [] and notebook.page.evaluate(BEFORE) == []
    notebook.close()


def test_a_panel_is_there_the_next_day(lab, folder):
    """Run, moved, saved, closed; opened again with a fresh kernel: the last picture, not the first."""
    path = shutil.copy(folder / "sample.ipynb", folder / "tomorrow.ipynb")
    notebook = lab.open(path)
    notebook.run()
    for slider in notebook.sliders():
        notebook.press(slider, "End")
    notebook.save()
    notebook.close()
    again = lab.open(path)
    again.page.wait_for_selector(".jp-OutputArea-output .noUi-handle")
    assert again.faults(executed=False) == []
    spoken = again.page.evaluate(SPOKEN)
    assert "Panel: a line at 9." in spoken and "Letters: grey 9 & orange." in spoken
    seen(again)
    said = again.page.evaluate(BEFORE)  # its Python is gone: each panel says so once, and what to do
    assert len(said) == 2 and all("As you left it" in words and "Run All Cells" in words for words in said)
    again.close()


def test_notebook_00_is_there_the_next_day(lab, folder):
    """The recorded prediction, the answered quiz, the replay where it stood."""
    path = folder / "00_start_here.ipynb"
    notebook = lab.open(path)
    notebook.run()
    notebook.kernel('from course.check import reset; reset("moves")')  # Run All may have shown the answer
    choices = notebook.page.locator(".ppo-choices")
    first, *others = choices.all()
    first.locator("input").nth(1).check()
    notebook.page.get_by_role("button", name="Record my answer").first.click()
    for form in others:
        form.locator("input").nth(0).check()
    notebook.page.get_by_role("button", name="Check my answers").click()
    notebook.page.wait_for_function("() => /of \\d+ right/.test(document.body.textContent)")
    for slider in notebook.sliders():
        notebook.press(slider, "Home")
    before = [notebook.pictures(slider) for slider in notebook.sliders()]
    status = re.findall(r"\d of \d right|Recorded: [\w ]+", notebook.page.evaluate(SPOKEN))
    assert len(set(status)) == 2
    notebook.save()
    notebook.close()
    again = lab.open(path)
    again.page.wait_for_selector(".jp-OutputArea-output .noUi-handle")
    assert again.faults(executed=False) == []
    assert re.findall(r"\d of \d right|Recorded: [\w ]+", again.page.evaluate(SPOKEN)) == status
    assert [again.pictures(slider) for slider in again.sliders()] == before
    # What would be lost without a word cannot be pressed, and words say why.
    forms = again.page.evaluate("() => document.querySelectorAll('.ppo-live').length")
    assert len(said := again.page.evaluate(BEFORE)) == forms > 4 and all("As you left it" in words for words in said)
    record = again.page.get_by_role("button", name="Record my answer").first
    assert record.evaluate("e => getComputedStyle(e).pointerEvents") == "none"
    again.run()
    assert again.page.evaluate(BEFORE) == []
    again.close()


def test_without_the_setting_the_message_is_the_one_that_the_help_names(lab, folder):
    path = shutil.copy(folder / "sample.ipynb", folder / "forgotten.ipynb")
    with Lab(folder, keep=False, browser=lab.browser) as forgetful:
        notebook = forgetful.open(path)
        notebook.run()
        assert "keep()" in notebook.page.evaluate(SPOKEN)  # the first cell says what to do
        notebook.save()
        notebook.close()
        again = forgetful.open(path)
        again.page.wait_for_function("() => document.body.textContent.includes('model not found')")
        message = "Error displaying widget: model not found"
        assert message in again.page.evaluate(SPOKEN)
        again.close()
    help = next(c for c in nbformat.read(ROOT / "notebooks" / "00_start_here.ipynb", 4).cells if c.id == "help")
    assert message in help.source


def readable(page):
    """The texts of the SVG pictures in the page that cannot be read well: [contrast, words]. There must be texts."""
    found = page.evaluate(CONTRAST)
    assert found
    return [each for each in found if each[0] < 4.5]


def test_dark(dark, folder):
    notebook = dark.open(folder / "sample.ipynb")
    paper = notebook.page.evaluate("() => getComputedStyle(document.querySelector('.jp-Notebook')).backgroundColor")
    assert max(map(int, re.findall(r"\d+", paper)[:3])) < 60  # it is dark
    seen(notebook)
    notebook.run()
    assert readable(notebook.page) == []
    assert all(words in notebook.page.evaluate(SPOKEN) for words in SAID)
    notebook.close()


def moved():
    """SVG pictures in states that no committed notebook shows: other stages, refusals, the fullest colours."""
    look = {"roles": ["prompt", "reply", "reply", "end", "pad"], "mask": [0, 1, 1, 1, 0], "selected": 2}
    yield from (data_flow(stage, B=32, P=25, T=41) for stage in range(1, 6))
    yield from (token_strip(list("abcde"), [sign * k for k in range(5)], label="x", **look) for sign in (-1, 1))
    yield token_strip(list("abcde"), [-2, -1, 0, 1, 2], label="x", details=["more"], low=-2, high=2)
    yield batch_card("16 must be at least 64")
    yield stretches(["Hello", "world"], [0.5, 0.5], 0.7, 1)
    colours = (NEW, EXACT, POSITIVE, NEGATIVE, ESTIMATE, OLD, REFERENCE, MUTED)
    yield from (reply_card("Why?", "So.", [Judge("judge", 1.0, (-3, 3), c, wanted=(0, 3))]) for c in colours)


@pytest.mark.parametrize("paper", ["#111", "#fff"])
def test_every_svg_can_be_read(lab, paper):
    """Its letters have a contrast of at least 4.5 with what is beneath them, on a dark page and on a light one."""
    page, pictures = lab.browser.new_page(viewport={"width": 900, "height": 900}), []
    for path in notebooks.all_notebooks():
        outputs = [o for cell in nbformat.read(path, 4).cells for o in cell.get("outputs", [])]
        pictures += [o.data["image/svg+xml"] for o in outputs if "image/svg+xml" in o.get("data", {})]
    assert len(pictures) >= 19
    pictures += moved()
    page.set_content(f"<body style='background:{paper}'>{'<hr>'.join(pictures)}</body>")
    assert readable(page) == []
    page.close()


def test_unreadable_letters_are_found(lab):
    page = lab.browser.new_page()
    page.set_content("<body style='background:#111'><svg><text y='20'>ink</text></svg></body>")
    assert [words for _, words in readable(page)] == ["ink"]
    page.set_content("<body><svg><rect width='90' height='90' fill='#888'/><text y='20' fill='#777'>grey</text></svg>")
    assert [words for _, words in readable(page)] == ["grey"]
    page.close()


@pytest.mark.parametrize("executed", [False, True])
def test_narrow(lab, folder, executed):
    """At 420 pixels a picture keeps three quarters of its width and scrolls; the table of progress is whole."""
    notebook = lab.open(folder / "sample.ipynb", width=420)
    if executed:
        notebook.run()
    for picture in seen(notebook):
        assert picture["width"] >= 0.75 * picture["full"] > picture["room"]
        assert picture["scrolls"] > picture["room"]
    cut = """() => [...[...document.querySelectorAll('.jp-Cell')].at(-1).querySelectorAll('.jp-OutputArea-output *')]
      .filter(e => e.getBoundingClientRect().right > e.closest('.jp-OutputArea').getBoundingClientRect().right + 1)
      .map(e => e.textContent)"""
    assert notebook.page.evaluate(cut) == []
    notebook.close()


def test_as_a_page(lab, folder):
    """nbconvert with the course's template (`make html`): every description, no code of cells tagged hide-input."""
    tool = [sys.executable, "-m", "nbconvert", "--to", "html", "--template", "html", "--output-dir", str(folder)]
    tool += [f"--TemplateExporter.extra_template_basedirs={ROOT / 'tools'}"]
    path = ROOT / "notebooks" / "00_start_here.ipynb"
    run = subprocess.run([*tool, str(folder / "sample.ipynb"), str(path)], capture_output=True, text=True, check=True)
    assert "lternative text is missing" not in run.stderr
    page = lab.browser.new_page()
    page.route(re.compile("^https?:"), lambda route: route.abort())  # its formulas ask a server for MathJax
    page.goto((folder / "sample.html").as_uri())
    seen(type("Page", (), {"page": page}))
    assert all(words in page.evaluate(SPOKEN) for words in SAID)
    text = html.unescape((folder / "00_start_here.html").read_text("utf-8"))  # "'" has several spellings
    cells = nbformat.read(path, 4).cells
    for cell in cells:
        for output in cell.get("outputs", []):
            for kind in ("image/png", "image/svg+xml"):
                if kind in output.get("data", {}):
                    assert output.metadata[kind]["alt"] in text
    hidden = [cell for cell in cells if "hide-input" in cell.metadata.get("tags", [])]
    page.goto((folder / "00_start_here.html").as_uri())
    code = page.evaluate("() => [...document.querySelectorAll('.jp-InputArea')].map(e => e.textContent).join()")
    assert hidden and not any(cell.source.splitlines()[0] in code for cell in hidden)
    page.close()


def test_where_data_is_forbidden_the_words_stand_in_the_pictures_place(lab, folder):
    source = nbformat.read(folder / "sample.ipynb", 4)
    card = next(c for c in source.cells if c.id == "letters").outputs[0].data["text/html"]
    page = lab.browser.new_page()
    page.set_content(f"<meta http-equiv='Content-Security-Policy' content='img-src https:'>{card}")
    (image,) = page.locator("img").all()
    assert image.evaluate("i => [i.complete, i.naturalWidth]") == [True, 0]
    assert image.get_attribute("alt") == SAID[2]  # the browser writes it there, in the ink of the card
    assert image.evaluate("i => getComputedStyle(i).color") == "rgb(34, 38, 46)"
    page.close()
