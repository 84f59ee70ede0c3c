"""The key map as a table, settings as the words of a command, and the words of a command as settings."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import fields

from .keys import DEFAULTS, FOLLOWS, ROWS, VERSIONS

COLUMNS = {"verl": "verl", "trl": "TRL 1.12", "openrlhf": "OpenRLHF"}


def table() -> list[dict[str, str]]:
    """One row a setting: ours, its default, the keys of verl, TRL 1.12 and OpenRLHF with theirs, meaning, and trap.

    A dash says that a library has no such setting. Fields that none of them has are in NO_COUNTERPART.
    """
    from ..language.rlhf import RLHFConfig  # only now: it brings transformers

    plain = RLHFConfig()
    ours = {field.name: repr(getattr(plain, field.name)) for field in fields(plain)}
    rows = []
    for row in ROWS:
        line = {"ours": row.ours or "-", "default": ours.get(row.ours, "-")}
        for library, column in COLUMNS.items():
            key = getattr(row, library)
            line |= {column: key or "-", f"{column} default": _default(library, key)}
        rows.append(line | {"meaning": row.meaning, "trap": row.trap})
    return rows


def _default(library: str, key: str) -> str:
    if key in FOLLOWS[library]:
        return f"that of {FOLLOWS[library][key]}"
    parts = re.split(", | x ", key)
    return ", ".join(repr(DEFAULTS[library][part]) for part in parts if part in DEFAULTS[library]) or "-"


def arguments(library: str, settings: dict) -> list[str]:
    """Settings as words of a command line: key=value for verl (Hydra), --key value for "trl" and "openrlhf".

    Not quoted for a shell: `shlex.join` does that.

    >>> arguments("verl", {"trainer.logger": ["console"], "data.seed": None})
    ['trainer.logger=[console]', 'data.seed=null']
    >>> arguments("openrlhf", {"algo.kl.use_loss": True, "actor.eps_clip_low_high": [0.2, 0.3]})
    ['--algo.kl.use_loss', '--actor.eps_clip_low_high', '0.2', '0.3']
    """
    if library not in VERSIONS:
        raise ValueError(f"library must be one of {tuple(VERSIONS)}; got {library!r}")
    if library == "verl":
        return [f"{key}={_hydra(value)}" for key, value in settings.items()]
    words = []
    for key, value in settings.items():
        if value is None or (library == "openrlhf" and value is False):
            continue  # said by saying nothing
        words.append(f"--{key}")
        if not (library == "openrlhf" and value is True):
            words += [str(x) for x in (value if isinstance(value, list) else [value])]
    return words


def _hydra(value) -> str:
    """A value in Hydra's grammar: null, True, 1e-06, [a,b], and words, in single quotes where they need them."""
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_hydra, value)) + "]"
    if value is None:
        return "null"
    if isinstance(value, str) and not re.fullmatch(r"[\w./:-]+", value, re.ASCII):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return str(value)


def read_settings(text: str) -> dict:
    """{key: value} of a command or a whole script: Hydra's key=value (also +key=value), and --key value.

    Comments, line ends with a backslash, NAMES=of the environment and all other words are passed over. A flag without
    a value is True.

    >>> read_settings("python3 -m verl.trainer.main_ppo algorithm.gamma=1.0 trainer.logger=[console] $@")
    {'algorithm.gamma': 1.0, 'trainer.logger': ['console']}
    """
    try:
        words = shlex.split(text.replace("\\\n", " "), comments=True)
    except ValueError as error:
        raise ValueError(f"settings cannot be read: {error}; is a quote open in {text[:60]!r}?") from None
    settings, key = {}, None
    for word in words:
        if match := re.fullmatch(r"(?:--|\+{0,2})([a-z_]\w*(?:\.\w+)*)=(.*)", word, re.DOTALL):
            settings[match[1]], key = _value(match[2]), None
        elif word.startswith("--"):
            key = word[2:]
            settings[key] = True
        elif key is not None:
            before = settings[key]
            now = _value(word)
            settings[key] = now if before is True else [*(before if isinstance(before, list) else [before]), now]
    return settings


def _value(text: str):
    """null, true, numbers and [lists] as Python has them; else the text."""
    if text.startswith("[") and text.endswith("]"):
        return [_value(part.strip()) for part in text[1:-1].split(",") if part.strip()]
    words = {"null": None, "None": None, "true": True, "True": True, "false": False, "False": False}
    if text in words:
        return words[text]
    try:
        number = json.loads(text)
    except ValueError:
        try:
            number = float(text) if re.fullmatch(r"[-+.\deE]+", text) else None
        except ValueError:
            number = None
    return number if isinstance(number, int | float) else text.strip("'\"")
