"""The columns of a trainer's rows that are shown: each is declared in columns.toml, and only there.

Dashboards, reports, the line of progress and `diagnose` read them. Bands are guides, not laws: what to expect of
return and entropy depends on the task. Left out: columns that only `diagnose` asks for, which no reader sees.
"""

import tomllib
from importlib.resources import files
from typing import NamedTuple


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


def _column(name: str, *, healthy: dict | None = None, **given) -> Column:
    return Column(name, healthy=healthy and (healthy.get("low"), healthy.get("high")), **given)


_READ = tomllib.loads(files(__package__).joinpath("columns.toml").read_text("utf-8"))
COLUMNS = {name: _column(name, **given) for name, given in _READ.items()}
