"""The film of notebook 00 and of the README: it shows the training's own numbers, plays alone, and asks for nothing."""

import base64
import re
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import film
import nbformat
import pytest
import torch

from course.pictures.maze_movie import SHOWN, Movie
from ppo_lesson.maze import Maze, MazeBatch, solve
from ppo_lesson.policies import TabularPolicy
from ppo_lesson.reinforce import ReinforceConfig, reinforce
from ppo_lesson.rollout import whole_episodes

ROOT = Path(__file__).resolve().parents[2]
TAG = "{http://www.w3.org/2000/svg}"
HINT = "write it again: python tools/film.py"


@pytest.fixture(scope="module")
def movie():
    return film.movie()


@pytest.fixture(scope="module")
def picture(movie):
    return ET.fromstring(movie.svg)


def part(picture, name):
    return next(g for g in picture if g.get("class") == name)


def arrows(picture, name):
    """The 60 arrows, 4 a square, of the part "film" or "still"."""
    return [g[0] for g in part(picture, name) if g.tag == TAG + "g" and "rotate" in g.get("transform", "")]


def numbers(text):
    return [float(x) for x in text.split(";")]


def test_it_is_the_training_that_a_learner_runs(movie):
    policy = TabularPolicy()
    tables = [policy.probs]
    for _ in reinforce(Maze(), policy, None, ReinforceConfig(iterations=60, lr=0.1), seed=0):
        tables.append(policy.probs)
    assert torch.equal(torch.stack(tables), movie.tables)
    assert torch.equal(solve(movie.tables, 1.0).J, movie.points)


def test_every_walk_goes_from_start_to_goal_by_the_rules(movie):
    maze = Maze()
    for walk, bumps, earned in zip(movie.walks, movie.bumps, movie.earned, strict=True):
        assert walk[0] == maze.start and (walk[-1] == maze.goal or len(walk) == 101)
        stood = {t for t in range(len(walk) - 1) if walk[t] == walk[t + 1]}
        assert set(bumps) == stood
        points = (len(walk) - 1 - len(bumps)) * -0.1 - len(bumps) + (1.1 if walk[-1] == maze.goal else 0)
        assert earned == pytest.approx(points, abs=1e-9)


def test_arrows_grow_as_the_probabilities_do(movie, picture):
    """Length and width are the root of the probability. An update after the other passes between two shown walks."""
    order = [0, *(k for a, b in pairwise(SHOWN) for k in range(a, b + 1)), 60, 60]
    roots = movie.tables[order, :15].sqrt().reshape(len(order), 60)
    film, still = arrows(picture, "film"), arrows(picture, "still")
    assert len(film) == len(still) == 60
    for i, (arrow, last) in enumerate(zip(film, still)):
        values = arrow[0].get("values")
        assert numbers(values) == pytest.approx(roots[:, i].tolist(), abs=0.00501)  # written with two digits
        assert arrow.get("transform") == last.get("transform") == f"scale({values.split(';')[-1]})"


def test_everything_keeps_one_clock(picture):
    moving = [x for x in picture.iter() if x.tag in (TAG + "animate", TAG + "animateTransform", TAG + "animateMotion")]
    assert len(moving) > 60 and len({x.get("dur") for x in moving}) == 1
    assert {x.get("repeatCount") for x in moving} == {"indefinite"}
    for x in moving:
        times, discrete = numbers(x.get("keyTimes")), x.get("calcMode") == "discrete"
        values = (x.get("values") or x.get("keyPoints")).split(";")
        assert len(times) == len(values) and times == sorted(times) and times[0] == 0
        assert discrete or times[-1] == 1


def test_the_end_stands_where_nothing_moves(movie, picture):
    """Without animation: the last policy, the shortest walk seen, the whole curve, the last numbers."""
    film = part(picture, "film")
    for element in [film, *film.iter()]:
        for child in list(element):
            if child.tag.split("}")[1] in ("animate", "animateTransform", "animateMotion", "set"):
                element.remove(child)
    robots = [x for x in film if x.tag == TAG + "use"]
    assert [x.get("visibility") for x in robots] == ["hidden"] * (len(SHOWN) - 1) + ["visible"]
    still = part(picture, "still")
    assert not [x for x in still.iter() if "animate" in x.tag]
    shown = [x for x in film if x.get("visibility") != "hidden"]
    assert [ET.tostring(x) for x in shown if x.tag == TAG + "g"] == [
        ET.tostring(x) for x in still if x.tag == TAG + "g"
    ]
    assert "prefers-reduced-motion" in movie.svg


def test_it_asks_nobody_for_anything(movie):
    assert not re.search(r"<script|<image|@import|url\((?!#)", movie.svg)
    assert set(re.findall(r'(?:href|src)="([^"]+)"', movie.svg)) == {"#a", "#r"}
    assert len(movie.svg) < 150_000


def test_a_cell_shows_it_as_an_image_with_words(movie):
    bundle, _ = movie._repr_mimebundle_()
    alt, source = re.search(
        r'<img alt="([^"]+)" src="data:image/svg\+xml;base64,([^"]+)"', bundle["text/html"]
    ).groups()
    assert base64.b64decode(source).decode() == movie.svg
    assert alt == movie.alt == bundle["text/plain"] and f"takes {len(movie.walks[0]) - 1} moves" in alt


def walk(probs, seed):
    def policy(states):
        return torch.distributions.Categorical(probs[states])

    return whole_episodes(MazeBatch(Maze(), 1, seed=seed), policy)


def test_other_trainings_have_films_too(movie):
    short = Movie(movie.tables[:11], [walk(probs, seed=5) for probs in movie.tables[:11]])
    assert len(ET.fromstring(short.svg)) and "in 10 updates" in short.alt
    with pytest.raises(ValueError, match="a walk with each policy, and two at least; got 11 and 1"):
        Movie(movie.tables[:11], [walk(movie.tables[0], seed=5)])


def test_the_readme_shows_this_film(movie):
    """Number for number, to the last digit written: rounding differs between processors."""
    kept, made = film.FILE.read_text("utf-8"), movie.svg
    pattern = r"-?(?:\d+\.?\d*|\.\d+)"
    assert re.sub(pattern, "0", kept) == re.sub(pattern, "0", made), HINT
    for old, new in zip(re.findall(pattern, kept), re.findall(pattern, made), strict=True):
        digits = max(len(x.partition(".")[2]) for x in (old, new))
        assert abs(float(old) - float(new)) <= 1.001 * 10**-digits, HINT


def test_notebook_00_moves_before_it_runs_and_soon_under_the_hand():
    """Counted from 1, the film is cell 3, and the first slider stands at cell 6 or earlier."""
    nb = nbformat.read(ROOT / "notebooks" / "00_start_here.ipynb", as_version=4)
    places = {cell.id: place for place, cell in enumerate(nb.cells, start=1)}
    assert places["moving"] == 3
    sliders = [places[cell.id] for cell in nb.cells if re.search(r"^(Panel|Replay)\(", cell.source, re.MULTILINE)]
    assert sliders and min(sliders) <= 6
    (output,) = nb.cells[2].outputs
    assert "data:image/svg+xml;base64," in output.data["text/html"]
