"""The key map as a table, settings as the words of a command, and commands and configuration files as settings."""

import contextlib
import re
import shlex

import yaml  # it comes with transformers

from ..language.settings import RLHFConfig
from ..validate import refusing, require
from .keys import DEFAULTS, FOLLOWS, ROWS, VERSIONS

LIBRARIES = {"verl": "verl", "trl": "TRL 1.16", "openrlhf": "OpenRLHF"}


def table() -> list[dict[str, str]]:
    """One row a setting: ours, its default, the keys of verl, TRL 1.16 and OpenRLHF with theirs, meaning, and trap.

    A dash says that a library has no such setting. Fields that none of them has are in NO_COUNTERPART.
    """
    ours = {name: repr(value) for name, value in vars(RLHFConfig()).items()}
    rows = []
    for row in ROWS:
        line = {"ours": row.ours or "-", "default": ours.get(row.ours, "-")}
        for library, column in LIBRARIES.items():
            key = getattr(row, library)
            parts = [part for part in re.split(", | x ", key) if part in DEFAULTS[library]]
            plain = ", ".join(repr(DEFAULTS[library][part]) for part in parts) or "-"
            plain = f"that of {FOLLOWS[library][key]}" if key in FOLLOWS[library] else plain
            line |= {column: key or "-", f"{column} default": plain}
        rows.append(line | {"meaning": row.meaning, "trap": row.trap})
    return rows


def arguments(library: str, settings: dict) -> list[str]:
    """Settings as words of a command line: key=value for verl (Hydra), --key value for "trl" and "openrlhf".

    Not quoted for a shell: `shlex.join` does that.

    >>> arguments("verl", {"trainer.logger": ["console"], "data.seed": None})
    ['trainer.logger=[console]', 'data.seed=null']
    >>> arguments("openrlhf", {"algo.kl.use_loss": True, "actor.eps_clip_low_high": [0.2, 0.3]})
    ['--algo.kl.use_loss', '--actor.eps_clip_low_high', '0.2', '0.3']
    """
    require(library in VERSIONS, ValueError, "bridge", "library", tuple(VERSIONS), library)
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
    if isinstance(value, str) and not re.fullmatch(r"[\w./:-]+", value, re.ASCII):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return "null" if value is None else str(value)


NOT_READ = re.compile(r"(?m)^\s*\[[\w.]+\]\s*$|\b[\w.]+\(\s*\w+\s*=")  # TOML and the like, a call in Python


def read_settings(text: str) -> dict:
    """{key: value} of what people have: a command, a whole script, or a configuration file in YAML or JSON.

    Of commands: Hydra's key=value (also +key=value), and --key value; comments, NAMES=of the environment and all other
    words are passed over, a flag without a value is True. Of files: nested or flat, wandb's {"value": ...} unwrapped,
    ${references} to another key resolved. ValueError if nothing is found, or a key is there twice.

    >>> read_settings("python3 -m verl.trainer.main_ppo algorithm.gamma=1.0 trainer.logger=[console] $@")
    {'algorithm.gamma': 1.0, 'trainer.logger': ['console']}
    >>> read_settings("actor:\\n  lr: 1e-6\\n  clip: ${actor.lr}")
    {'actor.lr': 1e-06, 'actor.clip': 1e-06}
    """
    require(isinstance(text, str), TypeError, "bridge", "no text", type(text).__name__)
    if (file := _file(text)) is not None:
        return file
    if found := NOT_READ.search(text):
        raise ValueError(f"{found[0].strip()!r} is neither a command nor YAML nor JSON; give from_verl a dict")
    with refusing(ValueError, ValueError, "bridge", "open quote", text[:60]):
        words = shlex.split(text.replace("\\\n", " "), comments=True)
    settings, key = {}, None
    for word in words:
        if match := re.fullmatch(r"(?:--|\+{0,2})([a-z_][\w-]*(?:\.\w+)*)=(.*)", word, re.DOTALL):
            settings[match[1]], key = _value(match[2]), None
        elif match := re.fullmatch(r"--(\w[\w.-]*)?", word):
            key = match[1]  # "--" alone: the command of another program begins
            settings |= {key: True} if key else {}
        elif key is not None:
            before, now = settings[key], _value(word)
            settings[key] = now if before is True else [*(before if isinstance(before, list) else [before]), now]
    require(settings, ValueError, "bridge", "no setting", text[:60])
    return settings


def _file(text: str) -> dict | None:
    """Flat settings of YAML or JSON; None if it is neither, or no mapping of names."""
    try:
        root = yaml.compose(text.removeprefix("\ufeff").expandtabs(), Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return None
    if not isinstance(root, yaml.MappingNode) or not all(re.fullmatch(r"[\w./@-]+", x.value) for x, _ in root.value):
        return None
    whole = _plain(root)
    boxed = {key: x for key, x in whole.items() if isinstance(x, dict) and {"value"} <= x.keys() <= {"value", "desc"}}
    if "_wandb" in whole or len(boxed) == len(whole):
        whole = {key: x["value"] for key, x in boxed.items() if key != "_wandb"}
    settings = flat(whole)
    for _ in range(9):  # references to references
        settings = {key: _resolved(x, settings) for key, x in settings.items()}
    return settings


def _plain(node):
    """A node of YAML in Python's words: in quotes a text; elsewhere numbers as a command has them, 1e-6 among them."""
    if isinstance(node, yaml.SequenceNode):
        return [_plain(x) for x in node.value]
    if isinstance(node, yaml.ScalarNode):
        empty = node.style is None and node.value in ("", "~")
        return None if empty else _value(node.value) if node.style is None else node.value
    names = [key.value for key, _ in node.value]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"settings have {twice[0]!r} twice (line {node.start_mark.line + 1}); keep one")
    return {key.value: _plain(x) for key, x in node.value}


def _resolved(value, settings: dict):
    """What ${other.key} and ${oc.select:other.key,default} refer to; anything else as it is."""
    match = re.fullmatch(r"\$\{(?:oc\.select:\s*)?([\w.]+)\s*(?:,\s*(.*))?\}", str(value))
    return value if match is None else settings.get(match[1], value if match[2] is None else _value(match[2]))


def flat(settings: dict, prefix: str = "") -> dict:
    """{"a": {"b": 1}} -> {"a.b": 1}; flat ones stay as they are. ValueError for a key that is there in both forms."""
    found = {}
    for key, value in settings.items():
        value = value.tolist() if hasattr(value, "tolist") else value  # of numpy: Python's
        more = flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
        if twice := found.keys() & more.keys():
            raise ValueError(f"settings have {min(twice)} twice, flat and nested; keep one")
        found |= more
    return found


def _value(text: str):
    """null, true, numbers and [lists] as Python has them; else the text."""
    if text.startswith("[") and text.endswith("]"):
        return [_value(part.strip()) for part in text[1:-1].split(",") if part.strip()]
    words = {"null": None, "None": None, "true": True, "True": True, "false": False, "False": False}
    if text in words:
        return words[text]
    for kind in (int, float) if re.fullmatch(r"[-+.\deE]+", text) else ():
        with contextlib.suppress(ValueError):
            return kind(text)
    return text.strip("'\"")
