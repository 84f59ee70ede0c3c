"""Goodhart's cliff: distance from home across; the score rises, and the ground, gold, falls away under who walks on.

    cliff({0.0: run, 0.1: other}, 0.0, prompt)        it walks by itself, from look to look
    cliff(runs, 0.1, prompt, at=4).svg                its look number 4, for `Panel`

Above, the score, which training sees; below, gold, which it does not; under both what the model writes there. The rope
reaches from home to where the run stands; posts show where runs ended. The ground is the run that went farthest.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .moving import Film, Reel
from .style import EXACT, INK, MUTED, NEW, REFERENCE
from .svg import WIDTH, cut, text, wrap

HEIGHT, LEFT, RIGHT, ROPE, FLOOR = 504, 40, 736, 142, 402  # CSS pixels
PLOTS = {"score": (112, 44, "what training sees", NEW), "gold": (FLOOR, 238, "what was wanted", EXACT)}  # bottom, top


def walked(run: dict) -> dict[str, np.ndarray]:
    """What a run of data/sweep.json met, look after look: d (root of the KL to home), score, gold."""
    met = {k: np.array([look["held"][k] for look in run["looks"]]) for k in ("kl_ref", "score", "gold")}
    return {"d": np.sqrt(met["kl_ref"].clip(0)), "score": met["score"], "gold": met["gold"]}


def cliff(runs: Mapping[float, dict], beta: float, prompt: str, at: int | None = None) -> Film:
    """The run with this beta, all its looks as a film, or look number `at` as a still.

    runs: to each beta a run as in data/sweep.json. prompt: one whose replies the looks keep. A run with fewer looks
    shows its last one.
    """
    paths, looks = {key: walked(run) for key, run in runs.items()}, runs[beta]["looks"]
    far, me = max(paths, key=lambda key: paths[key]["d"].max()), paths[beta]
    frames = [*range(len(looks))] if at is None else [min(at, len(looks) - 1)]
    reel, parts = Reel(len(frames) - 1, 1.2 * len(frames), hold=2), []
    unit = (RIGHT - LEFT) / np.ceil(paths[far]["d"].max())
    up = {key: _axis(parts, key, paths) for key in PLOTS}
    ground = _line(LEFT + unit * paths[far]["d"], up["gold"](paths[far]["gold"]))
    parts.append(f'<path d="M{LEFT} {FLOOR}L{ground}V{FLOOR}z" fill="#D9DDE3"/>')
    for key, (*_, colour) in PLOTS.items():
        line = _line(LEFT + unit * me["d"], up[key](me[key]))
        parts.append(f'<path d="M{line}" fill="none" stroke="{colour}" stroke-width="2.5"/>')
    here = LEFT + unit * me["d"][frames]
    fog = f'y="40" width="{WIDTH}" height="{FLOOR - 40}" fill="#fff" fill-opacity=".8"'
    parts.append(f"<rect {fog}{reel.move({'x': here + 10})}</rect>")
    for i, (d, y, key) in enumerate(sorted((p["d"][-1], p["gold"][-1], key) for key, p in paths.items() if key != far)):
        x, flag = LEFT + unit * d, 226 - 18 * (i % 2)
        parts.append(f'<path d="M{x:.1f} {up["gold"](y):.1f}V{flag}" stroke="{INK}"/>')
        parts.append(text(x + 3, flag + 8, f"{key:g}", size=13.5))
    loose, held = (' stroke-dasharray="2 6"', "no rope") if beta == 0 else ("", "the rope")
    rope = f'x1="{LEFT}" y1="{ROPE}" y2="{ROPE}" stroke="{REFERENCE}" stroke-width="3"{loose}'
    parts.append(f'<path d="M{LEFT} {ROPE - 10}v20" stroke="{REFERENCE}" stroke-width="5"/>')
    parts.append(f"<line {rope}{reel.move({'x2': here})}</line>")
    parts.append(text(LEFT + 8, ROPE + 22, f"home, and {held}: β = {beta:g}", REFERENCE, size=14))
    parts.append(text(RIGHT, FLOOR + 18, "distance from home, √KL", INK, "end", 13.5))
    parts.append(text(RIGHT, 190, "posts: where runs with other β ended", INK, "end", 13.5))
    for key, radius in (("score", 6), ("gold", 9)):
        moved = reel.move({"cx": here, "cy": up[key](me[key][frames])})
        parts.append(f'<circle r="{radius}" fill="{NEW}" stroke="#fff" stroke-width="1.5"{moved}</circle>')
    parts.append(text(LEFT, FLOOR + 36, cut(prompt, 70), MUTED, size=13.5))
    for k, look in enumerate(looks[i] for i in frames):
        parts.append(reel.only(k, _said(look, prompt)))
    first, last = ({key: _signed(me[key][i]) for key in me} for i in (0, frames[-1]))
    alt = f"Beta {beta:g}: at distance {last['d']} from home the score is {last['score']}, at home {first['score']}; "
    alt += f"gold is {last['gold']}, at home {first['gold']}. It writes: {looks[frames[-1]]['samples'][prompt][0]}"
    return Film(parts, HEIGHT, alt)


def _axis(parts: list[str], key: str, paths: Mapping[str, dict]):
    """Draw what stands still of one plot; returns the function from values to heights."""
    bottom, top, *_ = PLOTS[key]
    low = np.floor(2 * min(p[key].min() for p in paths.values())) / 2
    high = np.ceil(2 * max(p[key].max() for p in paths.values())) / 2

    def up(y):
        return bottom + (top - bottom) * (y - low) / (high - low)

    for tick in (0, high) if key == "score" else (low, 0, high):
        parts.append(f'<path d="M{LEFT} {up(tick):.1f}H{RIGHT}" stroke="#E7E9ED"/>')
        parts.append(text(LEFT - 6, up(tick) + 5, f"{tick:g}".replace("-", "−"), INK, "end", 13.5))
    return up


def _signed(x: float) -> str:
    return f"{x:.2f}".replace("-", "−")


def _line(x, y) -> str:
    return "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, y))


def _said(look: dict, prompt: str) -> str:
    """The numbers over the two plots, and the reply under them, at one look."""
    parts, reply = [text(RIGHT, 22, f"after {look['iteration']} updates", INK, "end", 14)], look["samples"][prompt][0]
    for (key, (*_, what, colour)), y in zip(PLOTS.items(), (22, 190)):
        parts.append(text(LEFT, y, f"{key} {_signed(look['held'][key])}", colour, size=16, bold=True))
        parts.append(text(LEFT + 118, y, what, size=14))
    return "".join(
        [*parts, *(text(LEFT, FLOOR + 58 + 20 * i, row, size=15) for i, row in enumerate(wrap(reply, 74, 2)))]
    )
