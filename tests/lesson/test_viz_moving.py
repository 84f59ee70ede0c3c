"""Pictures that play by themselves: what moves is the data handed over, small, silent, and calm where asked."""

import base64
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import film
import numpy as np
import pytest
import torch

from course.pictures.caught import BOTTOM, FAR, TOP, caught, frozen
from course.pictures.cliff import FLOOR, LEFT, PLOTS, RIGHT, cliff, walked
from course.pictures.doors import WALL, doors
from course.pictures.lamps import lamps, lit_at
from course.pictures.leash import LEFT as MAP
from course.pictures.leash import SIDE, leash
from course.pictures.moving import Film, Reel
from course.pictures.style import NEGATIVE, POSITIVE, number, readable
from course.pictures.svg import WIDTH
from course.pictures.wave import wave
from course.pictures.wind import pushes, wind
from ppo_lesson.objectives import clip_fraction, clipped_surrogate

TAG = "{http://www.w3.org/2000/svg}"


def group(film, name="ppo-film"):
    return next(g for g in ET.fromstring(film.svg) if g.get("class") == name)


def path(element, name):
    """Where an attribute is in each frame of the film: its animation's values, or where it stands still."""
    found = [a.get("values").split(";") for a in element if a.get("attributeName") == name]
    return found[0] if found else [element.get(name)]


def check_film(film, limit):
    """What every film keeps: one clock, no ids moved, nothing fetched, words, the end without motion."""
    root, calm = ET.fromstring(film.svg), group(film, "ppo-still")
    moving = list(root.iter(TAG + "animate"))
    assert len({(x.get("dur"), x.get("begin"), x.get("repeatCount")) for x in moving}) == 1
    assert not list(calm.iter(TAG + "animate")) and "prefers-reduced-motion" in film.svg
    playing = re.sub(
        r"<animate [^>]*/>", "", re.search(r'<g class="ppo-film">(.*)</g><g class="ppo-still">', film.svg)[1]
    )
    assert film.svg.endswith(f'<g class="ppo-still">{playing}</g></svg>')
    for element in group(film).iter():
        for x in element.findall(TAG + "animate"):
            assert x.get("values").split(";")[-1] == element.get(x.get("attributeName"))
    assert not re.search(r"<script|<image|@import|url\((?!#)|nan", film.svg)
    sizes = [float(x.get("font-size")) for x in root.iter(TAG + "text")]
    assert min(sizes) >= 13.3  # CSS pixels: 10 points
    bundle, _ = film._repr_mimebundle_()
    assert len(bundle["text/html"]) < limit and film.alt == bundle["text/plain"] == repr(film)
    alt, source = re.search(r'<img alt="([^"]+)" src="[^,]+,([^"]+)"', bundle["text/html"]).groups()
    assert base64.b64decode(source).decode() == film.svg and ET.fromstring(f'<a b="{alt}"/>').get("b") == film.alt


def test_a_reel_ends_where_it_rests_and_a_glide_arrives_when_a_jump_happens():
    reel = Reel(2, 4.0, hold=2)
    glide = ET.fromstring(f"<circle{reel.move({'cx': [0, 5, 9.25]})}</circle>")
    jump = ET.fromstring(f"<circle{reel.move({'fill': ['a', 'b', 'b']})}</circle>")
    assert (glide.get("cx"), glide[0].get("values")) == ("9.2", "0;5;9.2;9.2;9.2")
    assert (jump.get("fill"), jump[0].get("values"), jump[0].get("calcMode")) == ("b", "a;b;b;b", "discrete")
    assert {x[0].get("dur") for x in (glide, jump)} == {"8s"} and {x[0].get("begin") for x in (glide, jump)} == {"-4s"}
    segments = [len(x[0].get("values").split(";")) for x in (glide, jump)]  # frame k: at k / 4 of the time in both
    assert segments == [5, 4]
    assert reel.move({"cx": [3, 3, 3]}) == ' cx="3">'
    with pytest.raises(ValueError, match="cx needs 3 values, one a frame; got 2"):
        reel.move({"cx": [1, 2]})
    with pytest.raises(ValueError, match="alt must say"):
        Film([], 10, "")


@pytest.fixture(scope="module")
def swarm():
    generator = torch.Generator().manual_seed(0)
    A = torch.randn(128, generator=generator, dtype=torch.float64)
    ratios = (0.12 * torch.randn(10, 128, generator=generator, dtype=torch.float64)).cumsum(0).exp()
    return torch.cat([torch.ones_like(ratios[:1]), ratios]), A


def test_the_clip_catches_those_that_lose_their_gradient(swarm):
    ratios, A = swarm
    got = frozen(ratios.numpy(), A.numpy(), 0.2).mean(1)
    expected = [clip_fraction(ratio.log(), torch.zeros_like(ratio), A, 0.2).item() for ratio in ratios]
    assert got == pytest.approx(expected) and not frozen(ratios, A, None).any()


def test_every_sample_is_a_dot_at_its_ratio_and_advantage(swarm):
    ratios, A = swarm
    film = caught({"plain": (ratios, None), "clip": (ratios, 0.2), "clip + stop": (ratios[:5], 0.2)}, A)
    dots = [x for x in group(film) if x.tag == TAG + "use" and x.find(TAG + "animate") is not None]
    assert len(dots) == 3 * 128
    for panel, (steps, eps) in enumerate(((10, None), (10, 0.2), (4, 0.2))):
        some, left = dots[128 * panel : 128 * (panel + 1)], 8 + panel * WIDTH / 3
        gone = frozen(ratios.numpy(), A.numpy(), eps)
        for j, dot in enumerate(some):
            shown = (np.array(path(dot, "x")[:11], float) - left) * FAR / 236
            real = ratios[:, j][np.minimum(range(11), steps)].clamp(max=FAR)
            assert shown == pytest.approx(real.numpy(), abs=0.051 * FAR / 236)  # written with one digit
            high = ((TOP + BOTTOM) / 2 - float(dot.get("y"))) / (BOTTOM - TOP) * 2.1 * A.abs().max().item()
            assert high == pytest.approx(A[j].item(), abs=0.01)
            grey = [name == "#f" for name in path(dot, "href")[:11]]
            expected = gone[np.minimum(range(11), steps), j]
            assert grey == expected.tolist() if len(grey) > 1 else not expected.any()
    words = [x.text for x in group(film).iter(TAG + "text")]
    assert (
        f"step 10: {gone[10].mean():.0%} caught" in words and f"step 4, stopped: {gone[4].mean():.0%} caught" in words
    )
    assert f"clip: after 10 steps {gone[10].mean():.0%}" in film.alt
    check_film(film, 260_000)
    again = caught({"plain": (ratios, None), "clip": (ratios, 0.2), "clip + stop": (ratios[:5], 0.2)}, A)
    assert again.svg == film.svg


@pytest.fixture(scope="module")
def ropes():
    stored = json.loads((Path(__file__).resolve().parents[2] / "data" / "sweep.json").read_text("utf-8"))["runs"]
    betas = (0.0, 0.005, 0.1, 1.0)
    return {b: next(run for run in stored if run["name"] == f"beta {b:g}" and run["seed"] == 0) for b in betas}


def test_who_walks_on_stands_at_the_stored_distance_score_and_gold(ropes):
    prompt = next(iter(ropes[0.0]["looks"][0]["samples"]))
    film, met = cliff(ropes, 0.0, prompt), walked(ropes[0.0])
    assert met["d"] ** 2 == pytest.approx([look["held"]["kl_ref"] for look in ropes[0.0]["looks"]])
    score, gold = (x for x in group(film).iter(TAG + "circle"))
    for dot, key in ((score, "score"), (gold, "gold")):
        x, y = (np.array(path(dot, name)[:10], float) for name in ("cx", "cy"))
        assert (x - LEFT) / (RIGHT - LEFT) * np.ceil(met["d"].max()) == pytest.approx(met["d"], abs=1e-3)
        slope, start = np.polyfit(y, met[key], 1)
        assert slope < 0 and slope * y + start == pytest.approx(met[key], abs=0.01)  # up is more, on a straight scale
        assert PLOTS[key][1] <= min(y) and max(y) <= PLOTS[key][0] <= FLOOR
    said = [[x.text for x in g.iter(TAG + "text")] for g in group(film) if g.tag == TAG + "g"]
    for texts, look in zip(said, ropes[0.0]["looks"], strict=True):
        assert f"after {look['iteration']} updates" in texts
        assert f"gold {look['held']['gold']:.2f}".replace("-", "−") in texts
        assert " ".join(texts[5:]).rstrip("…").strip() in look["samples"][prompt][0]
    assert "no rope: β = 0" in film.svg and "Beta 0: at distance 8.95" in film.alt
    check_film(film, 60_000)


def test_the_readme_shows_the_fall_as_the_stored_run_has_it():
    kept = (film.IMAGES / "goodhart.svg").read_text("utf-8")
    assert kept == film.goodhart().svg, "write it again: python tools/film.py"
    assert "docs/images/goodhart.svg" in (film.ROOT / "README.md").read_text("utf-8")


def test_a_shorter_rope_and_another_place_are_other_pictures(ropes):
    prompt = next(iter(ropes[0.0]["looks"][0]["samples"]))
    stills = [cliff(ropes, beta, prompt, at) for beta in ropes for at in (0, 3, 6)]
    assert len({film.svg for film in stills}) == 12 and not any("<animate" in film.svg for film in stills)
    assert cliff(ropes, 1.0, prompt, at=99).svg == cliff(ropes, 1.0, prompt, at=6).svg
    ends = [float(re.search(r'stroke-width="3"[^>]* x2="([\d.]+)"', film.svg)[1]) for film in stills[2::3]]
    assert ends == sorted(ends, reverse=True)  # the dearer the distance, the nearer home


def gae(deltas, decay):
    found = []
    for delta in reversed(deltas):
        found.append(delta + decay * (found[-1] if found else 0.0))
    return found[::-1]


def rects(film, colour):
    """Those that fill up: their share of ink in each frame."""
    found = [x for x in group(film).iter(TAG + "rect") if x.get("fill") in colour and x.get("fill-opacity")]
    return [np.array(path(x, "fill-opacity"), float) for x in found], found


@pytest.mark.parametrize("decay", [0.0, 0.9])
@pytest.mark.parametrize("squares", [(), (10, 11, 7, 7, 11)])
def test_the_wave_fills_steps_from_the_last_to_the_first(decay, squares):
    deltas = [1.2, -2.1, -0.8, 0.001, 4.1]
    A = gae(deltas, decay)
    film = wave(["right", "up", "bump", "下", "down"], deltas, A, "goal", squares=squares)
    shares, found = rects(film, (POSITIVE, NEGATIVE))
    assert len(shares) == (2 if squares else 1) * 5
    for i, (share, rect) in enumerate(zip(shares, found)):
        t = i // 2 if squares else i
        assert share[-1] == pytest.approx(0.9 * abs(A[t]) / max(map(abs, A)), abs=0.0051)
        assert rect.get("fill") == (POSITIVE if A[t] > 0 else NEGATIVE)
        if share[-1] > 0:
            assert share.nonzero()[0][0] == 5 - t and len(set(share[5 - t :])) == 1  # from its frame on
        if squares and i % 2 == 0:
            assert float(rect.get("y")) == 10 + 54 * (squares[t] // 4)
            assert 0 <= float(rect.get("x")) - 10 - 54 * (squares[t] % 4) < 54
    words = [x.text for x in group(film).iter(TAG + "text")]
    for x in [*deltas, *A]:
        assert (f"{x:+.2f}".replace("-", "−") if abs(x) > 0.004 else "0") in words
    check_film(film, 60_000)
    with pytest.raises(ValueError, match="one delta, advantage and square a step; got 4, 5, 0 of 5"):
        wave(["a"] * 5, deltas[:4], A, "goal")


def test_a_long_reply_stays_on_its_page():
    names = ["Thanks", " for", "!", "希望", " somewhat-longer-word", "<eos>"] * 10
    film = wave(names, np.zeros(60), np.zeros(60), "score +2.08")
    frame = next(r for r in ET.fromstring(film.svg).iter(TAG + "rect") if r.get("stroke-width") == "2.5")
    moves = {move.get("attributeName"): move.get("calcMode") for move in frame.iter(TAG + "animate")}
    assert moves["x"] == moves["y"] == "discrete", "from row to row the frame jumps, it does not cross the words"
    for rect in group(film).iter(TAG + "rect"):
        assert 0 <= float(rect.get("x")) and float(rect.get("x")) + float(rect.get("width")) <= WIDTH
    assert max(float(x.get("y")) for x in group(film).iter(TAG + "text")) < float(ET.fromstring(film.svg).get("height"))
    check_film(film, 200_000)


def test_the_wind_blows_as_the_batches_do():
    generator = np.random.default_rng(0)
    exact = generator.normal(size=(16, 4))
    many = {f"{n} walks": exact + generator.normal(size=(7, 16, 4)) * 3 / n for n in (1, 4, 16)}
    film = wind(exact, many)
    lines = list(group(film).iter(TAG + "line"))
    assert len(lines) == 3 * 15 * 2
    side = (WIDTH / 3 - 16) / 4
    calmest = np.quantile(np.linalg.norm(pushes(many["16 walks"]), axis=-1), 0.95)  # reaches the edge of its square
    for i, some in enumerate(many.values()):
        for s in range(15):
            batch, true = lines[30 * i + 2 * s : 30 * i + 2 * s + 2]
            start = [float(batch.get(k)) for k in ("x1", "y1")]
            for line, data in ((batch, pushes(some[:, s])), (true, pushes(exact[None, s]))):
                tips = np.array([path(line, k)[: len(data)] for k in ("x2", "y2")], float).T - start
                wanted = data / calmest * side / 2
                wanted *= np.minimum(1, (side / 2 - 4) / np.linalg.norm(wanted, axis=1, keepdims=True))
                assert tips == pytest.approx(wanted, abs=0.11)
    up = pushes([1.0, 0, 0, 0]), pushes([0, 1.0, 0, 0]), pushes([0, 0, 1.0, 0]), pushes([0, 0, 0, 1.0])
    assert [x.tolist() for x in up] == [[0, -1], [0, 1], [-1, 0], [1, 0]]
    for title, some in many.items():
        off = np.sqrt(((some - exact) ** 2).sum((1, 2)).mean())
        assert f"{title}: typical error {number(off)}" in film.alt
    check_film(film, 140_000)


def test_the_doors_open_where_the_objective_has_a_slope():
    ratios, slopes = (0.5, 1.1, 1.5), []
    for A in (1.0, -1.0):
        for ratio in ratios:
            x = torch.tensor(ratio, dtype=torch.float64, requires_grad=True)
            value = clipped_surrogate(x.log(), torch.zeros_like(x), torch.tensor(A, dtype=torch.float64), 0.2)
            slopes.append(torch.autograd.grad(value, x)[0].item())
    guess = [False, True, True, False, False, False]
    for picture, shut in ((doors(guess), guess), (doors(guess, slopes), [False, False, True, True, False, False])):
        walls = [x.get("fill") == WALL for x in group(picture).iter(TAG + "rect")]
        texts = [(x, "".join(x.itertext())) for x in group(picture).iter(TAG + "text")]
        arrows = [(x, word) for x, word in texts if word in ("→", "←")]
        assert walls == shut and len(arrows) == 6 - sum(shut)
        for arrow, word in arrows:
            way = [float(x) for x in path(arrow, "x")]
            assert way[:5] == sorted(way[:5], reverse=word == "←")
            assert arrow.get("fill") == readable(POSITIVE if word == "→" else NEGATIVE)
        check_film(picture, 20_000)
    assert "2 of 6 are shut; you had 4 right" in doors(guess, slopes).alt
    assert [word for _, word in texts if word in ("✓", "✗")] == list("✓✗✓✗✓✓")


def test_a_lamp_lights_at_the_first_number_outside_and_stays():
    steps = np.arange(10.0)
    values = {"calm": steps * 0, "late": np.where(steps == 6, 3, 0), "gap": np.where(steps < 2, np.nan, -2)}
    bands = dict.fromkeys(values, (steps * 0 - 1, steps * 0 + 1))
    assert lit_at(values, bands) == {"calm": None, "late": 7, "gap": 3}
    for at in range(1, 11):
        root = ET.fromstring(lamps(values, bands, at))
        lights = [x.get("fill") == NEGATIVE for x in root.iter(TAG + "circle")]
        assert lights == [False, at >= 7, at >= 3]
        assert [len((x.get("points") or "").split()) // 2 for x in root.iter(TAG + "polyline")] == [
            at,
            at,
            max(at - 2, 0),
        ]
        words = [x.text for x in root.iter(TAG + "text")]
        assert f"update {at} of 10, {sum(lights)} of 3 lamps lit" in words
        assert min(float(x.get("font-size")) for x in root.iter(TAG + "text")) >= 13.3
    assert "it was sick. 6 updates saved" in lamps(values, bands, 4, True)
    assert "it was healthy. 6 updates of a good run lost" in lamps(values, bands, 4, False)
    *_, said, legend = ET.fromstring(lamps(values, bands, 4, False)).iter(TAG + "text")
    assert float(legend.get("y")) > float(said.get("y")) + 14, "the longest words leave the legend its own line"
    assert "nan" not in lamps(values, bands, 1) and len(lamps(values, bands, 10)) < 8_000


def test_the_leash_map_shows_each_policy_and_what_may_be_reached_from_the_one_before():
    ways, heights = np.array([[0, 0], [0.5, 1], [1, 2.5]]), [-12.3, -9.0, -7.5]
    circle = np.stack([np.cos(np.arange(0, 6, 0.5)), np.sin(np.arange(0, 6, 0.5))], -1)
    regions = {"KL": ways[:, None] + circle, "clip": ways[:, None] + circle / 2}
    J = np.add.outer(np.linspace(0, 2, 9), np.linspace(0, 1, 9))
    film = leash(J, ways, heights, regions, edge=4, names=("a", "b"))

    def data(x, y):
        return (np.array([x, y], float).T - MAP - SIDE / 2) / SIDE * 8 * [1, -1]

    _, old, now = group(film).findall(TAG + "circle")[:3]
    assert data(path(now, "cx")[:3], path(now, "cy")[:3]) == pytest.approx(ways, abs=0.002)
    assert data(path(old, "cx")[:3], path(old, "cy")[:3]) == pytest.approx(ways[[0, 0, 1]], abs=0.002)
    for polygon, border in zip(group(film).iter(TAG + "polygon"), regions.values(), strict=True):
        for drawn, real in zip(path(polygon, "points")[:3], border[[0, 0, 1]], strict=True):
            x, y = np.array(drawn.split(), float).reshape(-1, 2).T
            assert data(x, y) == pytest.approx(real, abs=0.002)
    hills = [x for x in group(film).iter(TAG + "path") if x.get("stroke-opacity")]
    assert sum(bool(x.get("d")) for x in hills) >= 5 and "J rises from −12.3 to −7.50" in film.alt
    check_film(film, 60_000)
