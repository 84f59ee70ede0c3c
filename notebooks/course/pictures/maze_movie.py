"""The first moving picture of the course: a robot learns the maze, update after update, as an SVG that plays by itself.

    movie = Movie(tables, walks)      # the policies after each update, and a walk with each
    movie                             # as the last line of a cell: it plays there, and in the saved notebook

Left, the maze: the policy as arrows, the robot on its way. Right, points per walk over the updates. Between updates
the robot walks as its policy says; the walks after SHOWN are drawn. It plays in the browser (SMIL), without a kernel.
Where nothing may move (a viewer that does not animate, a reader who asked the system for less motion) its end stands.
`python tools/film.py` writes the README's copy. Left out: other mazes, a button to pause.
"""

from __future__ import annotations

import html
import math
import tomllib
from pathlib import Path
from string import Template

import torch

from ppo_lesson.maze import optimal, solve

from .moving import short
from .page import still
from .style import ESTIMATE, EXACT, INK

SHOWN = (0, 3, 8, 15, 24, 40, 60)  # the updates after which the robot is seen walking
HEIGHT, SIDE, LEFT, TOP = 372, 84, 18, 18  # pixels; SIDE of a square, and where the maze begins
X0, X1, Y0, Y1 = 436, 728, 334, 122  # the curve's axes: left, right, bottom, top
LOW, HIGH = -20.0, 1.0  # points at the axis' ends
REST, HOLD = 0.55, 1.6  # seconds from one shown walk to the next, and at the end
TURNS = (270, 90, 180, 0)  # degrees: up, down, left, right
_READ = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
GROUND = Template("".join(_READ["ground"].splitlines()) + "\n")  # what stands still


class Movie:
    """A training to look at, as an image that moves: `.svg`, and `.alt`, its words.

    tables: policies (16, 4) before the first update and after each. walks: a `Rollout` with each of them, one episode
    of one robot. ValueError if there are not as many.
    """

    def __init__(self, tables, walks):
        if len(tables) != len(walks) or len(tables) < 2:
            counts = f"{len(tables)} and {len(walks)}"
            raise ValueError(f"a film needs a walk with each policy, and two at least; got {counts}")
        self.tables = torch.stack(list(tables))
        self.points = solve(self.tables, 1.0).J
        self.earned = [walk.rewards.sum().item() for walk in walks]
        self.walks = [[*walk.observations[0, :1].tolist(), *walk.next_observations[0].tolist()] for walk in walks]
        moves = [walk.actions[0].tolist() for walk in walks]
        self.bumps = [{t: a for t, a in enumerate(m) if w[t] == w[t + 1]} for m, w in zip(moves, self.walks)]

    @property
    def svg(self) -> str:
        """The film as one SVG document."""
        return _svg(self)

    @property
    def alt(self) -> str:
        """What the film shows, in words."""
        first, last = len(self.walks[0]) - 1, len(self.walks[-1]) - 1
        words = (
            f"Film of a robot that learns a maze of 16 squares in {len(self.walks) - 1} updates. At first its arrows "
            f"point everywhere and its walk takes {first} moves; at the end they lead to the goal and it takes {last}. "
            f"Points per walk rise from {self.points[0]:.1f} to {self.points[-1]:.2f}; the best are {_best():.1f}."
        )
        return words.replace("-", "−")

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/html": still(self.svg, self.alt), "text/plain": self.alt}, {}

    def __repr__(self):
        return self.alt


def _best() -> float:
    return optimal(1.0).J.item()


# ---- the SVG -----------------------------------------------------------------


class _Clock:
    """When what happens: each shown walk has its time, and between two of them the updates pass."""

    def __init__(self, movie: Movie):
        shown = [k for k in SHOWN if k < len(movie.walks)]
        self.last, self.walks, self.times, self.updates, now = shown[-1], {}, [0.0], [0], 0.0
        for k, following in zip(shown, [*shown[1:], None]):
            end = now + 0.6 + 0.026 * (len(movie.walks[k]) - 1)  # long walks are quicker, or nobody would wait
            rest, passed = (REST, range(k, following + 1)) if following else (HOLD, (k, k))
            self.walks[k] = (now, end, end + rest)
            self.times += [end + rest * i / (len(passed) - 1) for i in range(len(passed))]
            self.updates += passed
            now = end + rest
        self.total = now

    def animate(self, name: str, times, values, *, mode: str = "linear", tag: str = "animate", more: str = "") -> str:
        """One attribute's values at these seconds, over and over."""
        keys = ";".join(short(t / self.total, 4) for t in times)
        what = f'attributeName="{name}" {more}values' if name else f"{more}keyPoints"
        same = f'dur="{short(self.total)}s" repeatCount="indefinite" calcMode="{mode}"'
        return f'<{tag} {same} keyTimes="{keys}" {what}="{";".join(values)}"/>'

    def follow(self, name: str, values: list[str], **how) -> str:
        """An attribute that goes with the updates: values[k] after update k."""
        return self.animate(name, self.times, [values[k] for k in self.updates], **how)

    def appear(self, start: float, stop: float | None = None) -> str:
        """Visible from `start` on, until `stop`."""
        times, values = [0, start, stop], ["hidden", "visible", "hidden"]
        n = 2 if stop is None else 3
        return self.animate("visibility", times[:n], values[:n], mode="discrete")


def _svg(movie: Movie) -> str:
    clock = _Clock(movie)
    still = _trail(movie, clock.last) + _arrows(movie) + _robot(movie, clock.last) + _curve(movie) + _counters(movie)
    film = "".join(_trail(movie, k, clock) for k in clock.walks) + _arrows(movie, clock)
    film += "".join(_robot(movie, k, clock) for k in clock.walks) + _curve(movie, clock) + _counters(movie, clock)
    best = _up(_best())
    places = {"best": f"{best:.1f}", "above": f"{best - 9:.1f}"}
    return GROUND.substitute(places, alt=html.escape(movie.alt), still=still, film=film)


# ---- the maze: squares, arrows, walks ----------------------------------------


def _middle(square: int) -> tuple[float, float]:
    return LEFT + SIDE * (square % 4 + 0.5), TOP + SIDE * (square // 4 + 0.5)


def _arrows(movie: Movie, clock: _Clock | None = None) -> str:
    """Four arrows a square; length and width go by the root of the probability, so the area goes by it."""
    roots, parts = movie.tables.sqrt().tolist(), []
    for square in range(15):
        x, y = _middle(square)
        for action, turn in enumerate(TURNS):
            size = [short(table[square][action]) for table in roots]
            how = {"tag": "animateTransform", "more": 'type="scale" '}
            grow = clock.follow("transform", size, **how) if clock else ""
            place = f'<g transform="translate({x:g} {y:g})rotate({turn})">'
            parts.append(f'{place}<use href="#a" transform="scale({size[-1]})">{grow}</use></g>')
    return "".join(parts)


def _way(movie: Movie, k: int) -> str:
    """Walk k as a path: middles of squares, each a little beside the last time, and out and back at a bump."""
    seen, places = {}, []
    for t, square in enumerate(movie.walks[k]):
        seen[square] = n = seen.get(square, -1) + 1
        far, angle, (x, y) = min(3 * math.sqrt(n), 9), 2.4 * n, _middle(square)
        if t and t - 1 in movie.bumps[k]:
            turn = math.radians(TURNS[movie.bumps[k][t - 1]])
            places.append((x + 33 * math.cos(turn), y + 33 * math.sin(turn)))
        places.append((x + far * math.cos(angle), y + far * math.sin(angle)))
    return "M" + "L".join(f"{x:.0f} {y:.0f}" for x, y in places)


def _trail(movie: Movie, k: int, clock: _Clock | None = None) -> str:
    """The line behind the robot on walk k: grows as it walks, fades as the updates pass. Without a clock: all of it."""
    grow = fade = ""
    if clock:
        start, end, gone = clock.walks[k]
        grow = clock.animate("stroke-dashoffset", [0, start, end, clock.total], ["1", "1", "0", "0"])
        left = "1" if k == clock.last else "0"
        fade = clock.appear(start) + clock.animate("opacity", [0, end, gone, clock.total], ["1", "1", left, left])
    seen = "visible" if k == len(movie.walks) - 1 else "hidden"
    line = f'fill="none" stroke="{ESTIMATE}" stroke-opacity=".65" stroke-width="6" stroke-linejoin="round"'
    line += ' stroke-linecap="round" pathLength="1" stroke-dasharray="1 1"'
    return f'<path visibility="{seen}" d="{_way(movie, k)}" {line}>{grow}{fade}</path>'


def _robot(movie: Movie, k: int, clock: _Clock | None = None) -> str:
    """The robot on walk k; without a clock, and where nothing moves, at its end."""
    (x, y), moving = _middle(movie.walks[k][-1]), ""
    if clock:
        start, end, gone = clock.walks[k]
        way = {"tag": "animateMotion", "more": f'path="{_way(movie, k)}" '}
        moving = '<set attributeName="x" to="0"/><set attributeName="y" to="0"/>'  # the way says where it is
        moving += clock.animate("", [0, start, end, clock.total], ["0", "0", "1", "1"], **way)
        moving += clock.appear(start, None if k == clock.last else gone)
    seen = "visible" if k == len(movie.walks) - 1 else "hidden"
    return f'<use href="#r" x="{x:g}" y="{y:g}" visibility="{seen}">{moving}</use>'


# ---- numbers: the curve, three counters --------------------------------------


def _across(update: float) -> float:
    return X0 + (X1 - X0) * update / 60


def _up(points: float) -> float:
    return Y0 + (Y1 - Y0) * (max(points, LOW) - LOW) / (HIGH - LOW)


def _curve(movie: Movie, clock: _Clock | None = None) -> str:
    """Points over updates, up to now, and a dot for each walk that was seen."""
    points, last, dots = movie.points.tolist(), len(movie.walks) - 1, []
    for k in _Clock(movie).walks:
        when = clock.appear(clock.walks[k][1]) if clock else ""
        place = f'cx="{_across(k):.1f}" cy="{_up(movie.earned[k]):.1f}"'
        dots.append(f'<circle {place} r="5" fill="{ESTIMATE}" stroke="{INK}">{when}</circle>')
    name, wide, here = "still", "", ""
    if clock:
        name, wide = "film", clock.follow("width", [short(_across(k) - X0, 1) for k in range(last + 1)])
        here = clock.follow("cx", [short(_across(k), 1) for k in range(last + 1)])
        here += clock.follow("cy", [short(_up(y), 1) for y in points])
    line = "M" + "L".join(f"{_across(k):.1f} {_up(y):.1f}" for k, y in enumerate(points))
    window = f'<rect x="{X0}" y="0" width="{_across(last) - X0:g}" height="{HEIGHT}">{wide}</rect>'
    return (
        f'<clipPath id="{name}">{window}</clipPath>'
        f'<path d="{line}" fill="none" stroke="{EXACT}" stroke-width="2.5" clip-path="url(#{name})"/>'
        f'<circle cx="{_across(last):.1f}" cy="{_up(points[-1]):.1f}" r="6">{here}</circle>{"".join(dots)}'
    )


def _counters(movie: Movie, clock: _Clock | None = None) -> str:
    """Three numbers that run; each is a strip of numbers that rolls behind a window."""
    columns = (
        (X0 - 30, "start", "updates", [str(k) for k in range(len(movie.walks))]),
        (X0 + 92, "start", "moves", [str(len(walk) - 1) for walk in movie.walks]),
        (X1, "end", "average points", [f"{x:.1f}".replace("-", "−") for x in movie.points.tolist()]),
    )
    parts, how = [], {"mode": "discrete", "tag": "animateTransform", "more": 'type="translate" '}
    for x, anchor, label, values in columns:
        roll = clock.follow("transform", [f"0 {-50 * k}" for k in range(len(values))], **how) if clock else ""
        strip = "".join(f'<tspan x="0" y="{34 + 50 * k}">{value}</tspan>' for k, value in enumerate(values))
        end = f'font-size="32" font-weight="bold" transform="translate(0 {-50 * (len(values) - 1)})"'
        parts.append(
            f'<g transform="translate({x} 36)" text-anchor="{anchor}"><text y="-2" font-size="13">{label}</text>'
            f'<g clip-path="url(#w)"><text {end}>{strip}{roll}</text></g></g>'
        )
    return "".join(parts)
