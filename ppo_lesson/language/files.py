"""Rows of JSON out of a file: JSON Lines, a JSON array, or either as .gz. Any other file is named by its first bytes.

What each kind begins with, and one line that converts it, stand in files.toml.
"""

import gzip
import json
import re
import zlib
from pathlib import Path
from shlex import quote

from ..validate import read_toml, refusing, require

KNOWN = read_toml(__package__, "files.toml")


class Bad(ValueError):
    """What is wrong with a row."""


def read_rows(path) -> tuple[str, str, list[tuple[int, dict | Bad]]]:
    """What the file holds, in words; "line", or "row" of an array; number and object of each, or what is Bad about it.

    ValueError for any other file, with one line that converts it.
    """
    data = Path(path).read_bytes()
    if packed := data.startswith(b"\x1f\x8b"):
        with refusing((EOFError, OSError, zlib.error), ValueError, "rows", "damaged", path):
            data = gzip.decompress(data)
    data = data.removeprefix(b"\xef\xbb\xbf")  # a byte-order mark
    require(data.strip() not in (b"", b"[]"), ValueError, "rows", "empty file", path)
    start = data[:100_000].decode("latin-1")
    for kind in KNOWN["kind"]:
        if re.match(kind["begins"], start) and kind.get("holds", "").encode() in data:
            how = KNOWN["packed"] if packed else kind
            raise ValueError(f"{path} is {kind['name']}{' in a .gz' * packed}.{conversion(path, how)}")
    if data.lstrip()[:1] == b"[":
        if isinstance(array := _parsed(data, list), Bad):
            raise ValueError(f"{path} begins as a JSON array, and as a whole is {array.args[0]}")
        good = [x if isinstance(x, dict) else Bad(f"must be an object like {{...}}; got {short(x)}") for x in array]
        return "a JSON array" + ", .gz" * packed, "row", list(enumerate(good, 1))
    lines = [(i, _parsed(raw)) for i, raw in enumerate(data.split(b"\n"), 1) if raw.strip()]
    return "JSON Lines" + ", .gz" * packed, "line", lines


def conversion(path, kind: dict, fields: list[str] | tuple = ()) -> str:
    """The line that makes rows of such a file, and what must be installed for it. fields: to leave out."""
    new = Path(path).with_suffix(".rows.jsonl")
    needs = f" (pip install {kind['needs']})" if "needs" in kind else ""
    line = kind["convert"].replace("{fields}", ", ".join(map(repr, fields)))
    return f"\nConvert it{needs}:\n  {line.replace('{file}', quote(str(path))).replace('{new}', quote(str(new)))}"


def short(x) -> str:
    """How a value looks, cut to 60 characters."""
    return repr(x) if len(repr(x)) <= 60 else repr(x)[:60] + "..."


def _parsed(raw: bytes, kind: type = dict):
    """The object, or list, of JSON in these bytes, or what is Bad about them."""
    try:
        text = raw.decode()
        x = json.loads(text, object_pairs_hook=_once)
        return x if isinstance(x, kind) else Bad(f"must be an object like {{...}}; got {short(x)}")
    except UnicodeDecodeError as error:
        return Bad(f"not UTF-8 ({error.reason} at byte {error.start + 1}); save the file as UTF-8", KNOWN["latin"])
    except json.JSONDecodeError as error:
        return Bad(f"not JSON ({error.msg} at character {error.pos + 1}): {short(text.strip())}")
    except (ValueError, RecursionError) as error:
        why = "is nested too deeply" if isinstance(error, RecursionError) else error
        return Bad(f"{why}: {short(text.strip())}")


def _once(items: list[tuple]) -> dict:
    """A JSON object; Python alone would keep the last of two values with one name and forget the other."""
    names = [name for name, _ in items]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f'has "{twice[0]}" more than once')
    return dict(items)
