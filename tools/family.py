"""PPO's family as a page: what each member changes, with its settings, its source and its name in other libraries.

    .venv/bin/python tools/family.py           prints the page
    .venv/bin/python tools/family.py --write   writes it into docs/family.md

Made from ppo_lesson/language/family.toml; a test compares.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "family.md"
sys.path[:0] = [str(ROOT)]  # whatever is installed
HEAD = """# PPO's family, one line each

Each member is a setting of advantage, ratio, clip or mask, aggregation and KL: `RLHFConfig(**member("gspo"))`, with
`member` from `ppo_lesson.language.family`. Members without settings stand here to be read. Their gradients are compared
with the policy gradient by enumeration of all replies, in `tests/language/test_language_family.py`. Made from
`ppo_lesson/language/family.toml` by `python tools/family.py --write`. Libraries: verl 0.9.1, TRL 1.16, OpenRLHF 0.11.

The exact bias and variance of a member's gradient in the maze stand in notebook 17. Not there: VC-PPO and decoupled
PPO, whose bias is that of a critic, or of a queue of old data, at one moment of training and not of a formula (with a
right critic a fixed lambda has none; VAPO's has one of its own, since it depends on the reply: both are tested); and
dynamic sampling, which changes a batch and no pull: a dropped group has the advantage 0, so that only the number that
divides the sum gets smaller.
"""


def page() -> str:
    """The whole page: what changes and why, then the words of the libraries."""
    from ppo_lesson.language.family import MEMBERS

    def table(*columns, rows):
        cells = [
            " | ".join(cell.replace("|", "\\|") for cell in row) for row in (columns, ["--"] * len(columns), *rows)
        ]
        return "\n".join(f"| {line} |" for line in cells)

    def settings(row):
        given = {**row.get("settings", {}), **dict.fromkeys(row.get("without", []))}
        shown = ", ".join(f"{name}={value!r}" for name, value in given.items())
        return f"`{shown}`" if shown else "the defaults" if "settings" in row else "none"

    keys = ("line", "fixes", "costs")
    what = [(f"**{row['title']}** (`{name}`)", *(row[key] for key in keys)) for name, row in MEMBERS.items()]
    how = [(row["title"], settings(row), row["source"], row["thread"]) for row in MEMBERS.values()]
    words = [(row["title"], *(row[library] for library in ("verl", "trl", "openrlhf"))) for row in MEMBERS.values()]
    parts = [
        HEAD,
        table("", "the line that changes", "what it fixes", "what it costs", rows=what),
        "## Settings and sources\n",
        table("", "settings", "source", "where people stumbled", rows=how),
        "## In other libraries' words\n",
        table("", "verl", "TRL", "OpenRLHF", rows=words),
    ]
    return "\n".join(part if part.startswith("#") else f"{part}\n" for part in parts)


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        PAGE.write_text(page(), "utf-8")
    else:
        print(page(), end="")
