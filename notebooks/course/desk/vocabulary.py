"""The words of the help desk's world, English and Chinese side by side, from vocabulary.toml, which says what is what.

`world` makes texts of them.
"""

import tomllib
from pathlib import Path

LANGUAGES = ("en", "zh")


def _fixed(value):
    """Lists as tuples, at any depth."""
    return tuple(map(_fixed, value)) if isinstance(value, list) else value


_WORDS = {
    name: {key: _fixed(value) for key, value in table.items()}
    for name, table in tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8")).items()
}
CATEGORIES = _WORDS["categories"]
ITEMS = _WORDS["items"]
PROBLEMS = _WORDS["problems"]
SLOT = _WORDS["slot"]
TIP = _WORDS["tip"]
REASON = _WORDS["reason"]
GREETING = _WORDS["greeting"]
SYMPATHY = _WORDS["sympathy"]
CLOSING = _WORDS["closing"]
RUDE = _WORDS["rude"]
VAGUE = _WORDS["vague"]
OFF_TOPIC = _WORDS["off_topic"]
OPENER = _WORDS["opener"]
OWNER = _WORDS["owner"]
INTENSITY = _WORDS["intensity"]
WHEN = _WORDS["when"]
QUESTION = _WORDS["question"]
PEOPLE = _WORDS["people"]
