"""The columns of a trainer's rows: those that are shown, declared in columns.toml and only there, and their numbers.

Dashboards, reports, the line of progress and `diagnose` read them. Bands are guides, not laws: what to expect of
return and entropy depends on the task. Left out: every judgement, and titles of what only `diagnose` asks for.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from .validate import read_toml, refusing, require

ENOUGH = 20  # rows before a trend is a trend


class Column(NamedTuple):
    """One number of a row.

    per_token: of a language model, the unit is that of one token. healthy: (low, high), None for no bound, or None for
    no band. progress: how the line of progress says it; "": not there. finite: a number in every row that has it; of
    other columns NaN may say that there was nothing to measure.
    """

    name: str
    title: str
    unit: str = ""
    per_token: bool = False
    healthy: tuple[float | None, float | None] | None = None
    progress: str = ""
    finite: bool = False

    def label(self, *, tokens: bool = False) -> str:
        """Title and unit; tokens: of a language model.

        >>> COLUMNS["entropy"].label(), COLUMNS["entropy"].label(tokens=True), COLUMNS["score"].label()
        ('entropy (nats)', 'entropy (nats a token)', 'score')
        """
        unit = f"{self.unit} a token" if tokens and self.per_token else self.unit
        return f"{self.title} ({unit})" if unit else self.title


COLUMNS = {}
for name, given in read_toml(__package__, "columns.toml").items():
    band = given.pop("healthy", None)
    COLUMNS[name] = Column(name, healthy=band and (band.get("low"), band.get("high")), **given)
ALWAYS = tuple(name for name, column in COLUMNS.items() if column.finite)  # defined whenever they are there
SYMPTOMS = read_toml(__package__, "diagnose.toml")
FOREIGN = SYMPTOMS["elsewhere"]


class History:
    """The rows of a run as columns: table[name] is (T, K), T rows and K seeds, NaN where a row has none.

    foreign: {their name: ours} of the columns that the rows have from another library.
    """

    def __init__(self, history: Iterable[dict]):
        self.rows, self.columns, self.foreign = [], {}, {}
        for row in history if isinstance(history, Iterable) else [history]:
            require(isinstance(row, dict), TypeError, "numbers", "no row", type(history).__name__, type(row).__name__)
            self.foreign |= (theirs := {x: FOREIGN[x] for x in row if x in FOREIGN and FOREIGN[x] not in row})
            numbers = {name: x.tolist() if hasattr(x, "detach") else x for name, x in row.items() if x is not None}
            self.rows.append({theirs.get(name, name): x for name, x in numbers.items()})  # a tensor may be bfloat16
        sizes = {np.asarray(row[name]).size for row in self.rows for name in (*ALWAYS, "return_mean") if name in row}
        self.seeds = max(sizes, default=1)
        require(sizes <= {1, self.seeds}, ValueError, "numbers", "several seeds", sorted(sizes))

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.columns:
            with refusing((TypeError, ValueError, RuntimeError), ValueError, "numbers", "no number", name):
                given = [np.ravel(np.ma.filled(np.asanyarray(row.get(name, np.nan)), np.nan)) for row in self.rows]
                if bad := [x for x in given if x.dtype.kind in "USc"]:  # "1e-3" may be a slip, and "" is none
                    raise TypeError(f"{bad[0].tolist()[0]!r} is complex or is a text; convert such columns with float")
                self.columns[name] = np.array([np.broadcast_to(x.astype(float), self.seeds) for x in given])
        return self.columns[name]

    def largest(self, name: str) -> np.ndarray:
        """Of all rows, (K,)."""
        return np.nanmax(self[name], 0)

    def trend(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Medians of the first three numbers and of the last quarter, (K,) each; NaN with fewer than ENOUGH."""
        enough = np.isfinite(x).sum(0) >= ENOUGH
        order = np.argsort(~np.isfinite(x), axis=0, kind="stable")  # the numbers first, in the order of time
        start, end = np.take_along_axis(x, order, 0)[:3], x[-max(1, len(x) // 4) :]
        return np.where(enough, np.median(start, 0), np.nan), np.where(enough, np.nanmedian(end, 0), np.nan)

    def second_half(self, name: str) -> np.ndarray:
        """The rows of the second half; one row of NaN with fewer than ENOUGH rows in all."""
        return self[name][len(self) // 2 :] if len(self) >= ENOUGH else np.full((1, self.seeds), np.nan)

    def reward(self) -> np.ndarray:
        """The return, or the score of a language model."""
        return self["score"] if np.isnan(self["return_mean"]).all() else self["return_mean"]
