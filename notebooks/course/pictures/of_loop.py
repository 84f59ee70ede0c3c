"""Notebooks 08 and 09: eight poles that learn while you drag, and a forest plot of what each change does.

    draw = poles(steps)                                            # steps (n,): after how many is each number
    fig, numbers = draw(returns, kl)                               # (n, seeds) each

    update = forest(ax, differences(results, baseline))            # one row for each change, the first on top
    update(differences(fewer_seeds, fewer_of_the_baseline))

All artists are animated, for `Panel`. A row of the forest is the difference of two means, with plus and minus two
standard errors (about 95 % for many seeds, and too short for three, which is how such plots are usually drawn). A row
whose interval holds 0 is grey: nothing can be said. All rows share one baseline, so its luck moves them all to the same
side. Left out: other intervals, pairing by seed, and corrections for looking at many rows at once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .curves import fan
from .maze_figures import array
from .style import INK, MUTED, NEGATIVE, POSITIVE, dots, figure, key

# ---- poles -----------------------------------------------------------------------------------------------------------


def poles(steps):
    """Two fans over `steps`, (n,): mean returns and the KL of updates. Returns draw(returns, kl), both (n, seeds).

    A return may be NaN where no episode ended: the one before holds, at first 0. KL is shown from 1e-6 on.
    """
    steps = array(steps) / 1000
    fig, (left, right) = figure(2, width=8.6, height=3.1, xlabel="steps of each pole, thousands")
    redraw = [fan(ax, steps, np.ones((2, len(steps))), label="median pole") for ax in (left, right)]
    key(left, loc="upper left")
    left.set(ylim=(0, 260), ylabel="mean return")
    right.set(yscale="log", ylim=(1e-5, 2), ylabel="KL of an update (nats)")

    def draw(returns, kl):
        returns = np.array(array(returns))
        for t, row in enumerate(returns):
            row[np.isnan(row)] = (returns[t - 1] if t else np.zeros_like(row))[np.isnan(row)]
        redraw[0](returns.T)
        redraw[1](array(kl).clip(1e-6).T)
        return fig, {"R": np.median(returns[-1]), "KL": np.median(kl)}

    return draw


# ---- a forest plot ---------------------------------------------------------------------------------------------------


class Difference(NamedTuple):
    """mean of the changed runs minus mean of the baseline; error: one standard error of it."""

    mean: float
    error: float

    @property
    def verdict(self) -> str:
        """ "better" or "worse" if the interval of two standard errors leaves 0 out, else "unclear"."""
        if abs(self.mean) <= 2 * self.error:
            return "unclear"
        return "better" if self.mean > 0 else "worse"


def difference(values, baseline) -> Difference:
    """values, baseline: one result a seed, (n,) and (m,), both at least 2; the seeds are independent.

    >>> difference([1.0, 3.0], [0.0, 0.0])
    Difference(mean=2.0, error=1.0)
    """
    values, baseline = array(values), array(baseline)
    if min(values.size, baseline.size) < 2:
        raise ValueError(f"a spread needs at least two seeds; got {values.size} and {baseline.size}")
    error = np.sqrt(values.var(ddof=1) / values.size + baseline.var(ddof=1) / baseline.size)
    return Difference(float(values.mean() - baseline.mean()), float(error))


def differences(results: dict, baseline) -> dict[str, Difference]:
    """{"name of a change": Difference} for {"name": one result a seed}."""
    return {name: difference(values, baseline) for name, values in results.items()}


def forest(ax, rows: dict[str, Difference], *, xlabel: str = "difference of the mean return", xlim=None):
    """One row for each change: point and interval; grey where 0 lies inside. Returns update(rows), same names."""
    names, y = list(rows), np.arange(len(rows))
    ax.set_yticks(y, names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.grid(False, axis="y")
    ax.axvline(0, color=INK, linewidth=1.2, zorder=1)
    ax.set_xlabel(xlabel)
    if xlim is None:
        reach = [d.mean + side * 2 * d.error for d in rows.values() for side in (-1, 1)]
        room = 0.1 * (max(reach) - min(reach))
        xlim = min(*reach, 0) - room, max(*reach, 0) + 2.5 * room
    ax.set_xlim(*xlim)
    lines = [ax.plot([], [], linewidth=3, solid_capstyle="butt", animated=True, zorder=2)[0] for _ in y]
    points = [ax.plot([], [], animated=True, zorder=3)[0] for _ in y]
    style = {"va": "center", "ha": "left", "color": INK, "animated": True, "clip_on": False}
    texts = [ax.text(1.015, i, "", transform=ax.get_yaxis_transform(), **style) for i in y]
    looks = {"better": POSITIVE, "worse": NEGATIVE, "unclear": MUTED}

    def update(rows):
        for i, line, point, text, row in zip(y, lines, points, texts, rows.values()):
            colour = looks[row.verdict]
            line.set(data=([row.mean - 2 * row.error, row.mean + 2 * row.error], [i, i]), color=colour)
            point.set(data=([row.mean], [i]), **dots(colour, marker="o", markeredgecolor="white", markersize=9))
            text.set_text(f"{row.mean:+.0f} ± {2 * row.error:.0f}".replace("-", "−"))
        return rows

    update(rows)
    return update
