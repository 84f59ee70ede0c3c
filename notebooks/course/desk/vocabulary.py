"""The words of the help desk's world, English and Chinese side by side, from vocabulary.toml, which says what is what.

`world` makes texts of them.
"""

import tomllib
from pathlib import Path

LANGUAGES = ("en", "zh")


def _fixed(value):
    """Lists as tuples, at any depth."""
    return tuple(map(_fixed, value)) if isinstance(value, list) else value


# CATEGORIES, ITEMS, PROBLEMS and so on: a constant for each table of the file
for _name, _table in tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8")).items():
    globals()[_name.upper()] = {key: _fixed(value) for key, value in _table.items()}
