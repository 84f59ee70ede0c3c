"""The columns of a trainer's rows that are shown: name, title, unit and healthy band, each declared here and only here.

Dashboards, reports, the line of progress and `diagnose` read them. Bands are guides, not laws: what to expect of
return and entropy depends on the task. Left out: columns that only `diagnose` asks for, which no reader sees.
"""

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


COLUMNS = {
    column.name: column
    for column in (
        Column("loss", "loss", "nats", progress="loss {:.3f}"),
        Column("accuracy", "pairs ordered rightly", progress="accuracy {:.2f}"),
        Column("return_mean", "mean return of an episode"),
        Column("score", "score", progress="score {:.2f}"),
        Column("gold", "gold"),
        Column("kl_ref", "KL to the reference", "nats a reply", progress="KL {:.2f}"),
        Column("length", "length", "tokens", progress="{:.0f} tokens"),
        Column("ended", "replies that ended"),
        Column("beta", "beta"),
        Column("policy_loss", "policy loss", finite=True),
        Column("value_loss", "value loss", finite=True),
        Column("entropy", "entropy", "nats", per_token=True, finite=True),
        Column("grad_norm", "gradient norm", finite=True),
        Column("kl", "exact KL of an update", "nats", finite=True),
        Column("approx_kl", "KL of an update", "nats", per_token=True, healthy=(None, 0.03), finite=True),
        Column("clip_fraction", "clip fraction", healthy=(0.0, 0.3)),
        Column("explained_variance", "explained variance", healthy=(0.0, 1.0)),
        Column("ratio_error", "|ratio − 1| before the first step", healthy=(0.0, 1e-5)),
        Column("ptx_loss", "loss on plain text", "nats"),
        Column("lr", "learning rate"),
        Column("seconds", "time", "s"),
    )
}
