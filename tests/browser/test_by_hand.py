"""What hands do, in a real JupyterLab: drag a slider while a panel computes; answer a prediction after Run All."""

import json

import pytest
from lab import Lab

import notebooks
from course.check.index import find_prediction

KEY = find_prediction("moves")
PANEL = """\
# %% panel
import time
from course.pictures import Panel, figure, slider, stops, toggle
computed, seconds = [], 0
fig, ax = figure(width=8, height=3)
(line,) = ax.plot([0, 1], [0, 1], animated=True)
def draw(a, b, c):
    computed.append((a, b))
    time.sleep(seconds)
    line.set_ydata([a / 100, b / 100])
    return fig
controls = {"a": slider("a first", 0, 100, 1, 50, integer=True), "b": slider("b second", 0, 100, 1, 50, integer=True)}
panel = Panel({**controls, "c": stops("c third", [1, 2], 1)}, draw, "{a}", busy="training 64 robots …", live=True)
seconds = 0.6
panel

# %% numbers
print(computed)
"""
ANSWERS = """\
# %% before
from course.check import check, exercise, predict, reveal
predict("moves", CHOICES, "How many moves?")

# %% after
reveal("moves")

# %% exercise
@exercise("hello")
def ppo_objective(before, now, advantage):
    return float(input("the objective? "))
check(ppo_objective)

# %% last
print("the end")
"""
WATCH = """() => { const start = performance.now(); let last = ''; window.seen = [];
  const look = () => { const card = document.querySelector('.ppo-busy');
    const now = [!!card && getComputedStyle(card).visibility === 'visible' && card.textContent,
                 document.querySelector('.jp-OutputArea img').src];
    if (now.join() !== last) { last = now.join(); window.seen.push([performance.now() - start, ...now]); }
    requestAnimationFrame(look); }; look(); }"""
BOXES = """() => { const box = e => e.getBoundingClientRect();
  const image = box(document.querySelector('.jp-OutputArea img'));
  const all = [...document.querySelectorAll('.jp-OutputArea .noUi-target')].map(box);
  const page = box(document.querySelector('.jp-OutputArea'));
  return { image: image.width, tracks: all.map(b => b.width), room: page.width,
    beyond: all.some(b => b.right > page.right) }; }"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("by hand")
    for name, cells in (("panel", PANEL), ("answers", ANSWERS.replace("CHOICES", repr(["1", KEY.answer, "no end"])))):
        notebooks.save(notebooks.normalise(notebooks.from_text(cells), name), folder / f"{name}.ipynb")
    with Lab(folder) as running:
        yield running


@pytest.fixture
def notebook(lab, request):
    opened = lab.open(lab.root / f"{request.param}.ipynb")
    opened.run()
    yield opened
    opened.close()


def printed(notebook, cell):
    return "".join(
        notebook.page.evaluate(
            "id => window.jupyterapp.shell.currentWidget.content.widgets.find(c => c.model.id === id)"
            ".model.outputs.toJSON().map(o => o.text)",
            cell,
        )
    )


def run_last(notebook):
    page = notebook.page
    page.evaluate(
        "() => { const book = window.jupyterapp.shell.currentWidget.content;"
        " book.deselectAll(); book.activeCellIndex = book.widgets.length - 1; }"
    )
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-cell')")
    notebook.settle()


@pytest.mark.parametrize("notebook", ["panel"], indirect=True)
def test_a_drag_says_so_at_once_and_leaves_no_queue(notebook):
    page, sliders = notebook.page, notebook.sliders()
    handle = page.locator("[data-slider='0']").bounding_box()
    x, y = handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2
    page.mouse.move(x, y)
    page.evaluate(WATCH)
    page.mouse.down()
    for step in range(1, 31):
        page.mouse.move(x + 6 * step, y)
        page.wait_for_timeout(20)
    page.mouse.up()
    notebook._type(sliders[1], "End")
    page.wait_for_function("() => window.seen.length > 2 && !window.seen.at(-1)[1]")
    seen = page.evaluate("() => window.seen")
    said = next(time for time, words, _ in seen if words)
    assert seen[0][1] is False and {words for _, words, _ in seen} == {False, "training 64 robots …"}
    picture = next(time for time, _, source in seen if source != seen[0][2])
    assert said < picture, "the words stand over the old picture"
    run_last(notebook)
    computed = json.loads(printed(notebook, "numbers").replace("(", "[").replace(")", "]"))
    value = int(page.locator("[data-slider='0']").get_attribute("aria-valuenow").split(".")[0])
    assert computed[-1] == [value, 100] and value > 60
    # 31 moves in about a second, and 0.6 s for a picture: no more pictures than there was time for, and the newest
    assert len(computed) - 1 <= 2 + seen[-1][0] / 600
    assert notebook.faults() == []


@pytest.mark.parametrize("notebook", ["panel"], indirect=True)
def test_a_screen_reader_hears_the_name_of_every_slider(notebook):
    names = notebook.page.evaluate("() => [...document.querySelectorAll('[role=slider]')].map(e => e.ariaLabel)")
    assert names == ["a first", "b second", "c third"]
    assert notebook.page.get_by_role("slider", name="b second").count() == 1


@pytest.mark.parametrize("notebook", ["panel"], indirect=True)
def test_sliders_are_about_as_long_as_the_picture_and_fit_a_narrow_page(notebook):
    wide = notebook.page.evaluate(BOXES)
    assert len(wide["tracks"]) == 3 and not wide["beyond"]
    assert all(0.65 * wide["image"] < track < wide["image"] for track in wide["tracks"])
    notebook.page.set_viewport_size({"width": 420, "height": 900})
    notebook.page.wait_for_function(f"() => {{ const now = ({BOXES})(); return now.room < 420 && !now.beyond; }}")
    narrow = notebook.page.evaluate(BOXES)
    assert not narrow["beyond"] and min(narrow["tracks"]) > 80


@pytest.mark.parametrize("notebook", ["answers"], indirect=True)
def test_a_prediction_survives_run_all_and_its_answer_opens_in_place(notebook):
    page = notebook.page
    record = notebook.lab.folder / "PPO_LESSON_HOME" / "progress.json"
    assert json.loads(record.read_text())["predictions"] == {}, "the check alone has left a record"
    assert printed(notebook, "last") == "the end\n", "a question inside an answer must not block the next cell"
    assert "there is no keyboard here" in page.locator(".jp-Notebook").inner_text()
    before, after = page.locator(".jp-Cell").nth(0), page.locator(".jp-Cell").nth(1)
    assert after.locator("button", has_text="Show the answer").is_visible() and KEY.why not in after.inner_text()
    before.locator("label", has_text=KEY.answer).click()
    before.locator("button", has_text="Record my answer").click()
    for cell in (before, after):
        cell.get_by_text("You predicted:").wait_for()
    assert not after.locator("button", has_text="Show the answer").is_visible()
    assert f"Recorded: {KEY.answer}" in before.inner_text()
    assert json.loads(record.read_text())["predictions"] == {"moves": {"choice": KEY.answer, "shown": True}}
    assert notebook.faults() == []
