"""Readers of JSONL files: prompts, demonstrations, rankings. One JSON object a line.

    {"prompt": "..."}                                          read_prompts
    {"prompt": "...", "reply": "..."}                          read_pairs       ("response", "chosen" mean the same)
    {"prompt": "...", "replies": ["best", ..., "worst"]}       read_rankings    (or "chosen" and "rejected")
                                                               "cut": [2] if the third reply was cut before its end

A bad line never disappears: reading goes on to the end of the file, then one error lists the bad lines with their
numbers and what is wrong. What is odd but usable (a duplicate, a byte-order mark) is reported as a warning. Blank
lines, blanks around a text, and other names in a line ("language", "kind") mean nothing here.
"""

import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

LISTED = 10  # bad lines that an error message lists in full


@dataclass(frozen=True)
class Pair:
    """A prompt with the reply it should get."""

    prompt: str
    reply: str


@dataclass(frozen=True)
class Ranking:
    """A prompt with replies, the best first. cut: places of replies that were cut before their writer ended them."""

    prompt: str
    replies: tuple[str, ...]
    cut: tuple[int, ...] = ()

    @property
    def ended(self) -> tuple[bool, ...]:
        """For each reply, whether it ended by itself, and so has an EOS."""
        return tuple(i not in self.cut for i in range(len(self.replies)))

    def row(self) -> dict:
        """As a line of JSON; "cut" stands only where something was cut."""
        return {"prompt": self.prompt, "replies": list(self.replies)} | ({"cut": list(self.cut)} if self.cut else {})


def read_prompts(path, *, longest: int = 4000) -> list[str]:
    """The prompts of a file, each once, in order. longest: characters; a longer prompt is an error."""
    good = _read(path, lambda line: _text(line, ("prompt",), longest))
    once = list(dict.fromkeys(good))
    if len(once) < len(good):
        warnings.warn(
            f"{path}: {len(good) - len(once)} of {len(good)} lines repeat an earlier prompt; each prompt is used once",
            stacklevel=2,
        )
    return once


def read_pairs(path, *, longest: int = 4000) -> list[Pair]:
    """Prompts with demonstrations, for supervised fine-tuning."""
    replies = ("reply", "response", "chosen")
    return _read(path, lambda line: Pair(_text(line, ("prompt",), longest), _text(line, replies, longest)))


def read_rankings(path, *, longest: int = 4000) -> list[Ranking]:
    """Prompts with two or more replies each, the best first."""

    def ranking(line: dict) -> Ranking:
        prompt, replies = _text(line, ("prompt",), longest), _replies(line, longest)
        return Ranking(prompt, replies, _cut(line, len(replies)))

    return _read(path, ranking)


def write(path, rows: list[dict]) -> None:
    """One JSON object a line, UTF-8, newline at the end; the same rows give the same bytes everywhere."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    Path(path).write_bytes(text.encode())


# ---- one line ----------------------------------------------------------------------------------------------------


class _BadLine(Exception):
    """What is wrong with a line."""


def _read(path, make: Callable) -> list:
    """make(line) of every line that is not blank, or one ValueError that lists all bad lines."""
    data = Path(path).read_bytes()
    if data.startswith(b"\xef\xbb\xbf"):
        warnings.warn(f"{path} begins with a byte-order mark; it is ignored", stacklevel=3)
        data = data[3:]
    rows, bad = [], []
    for number, raw in enumerate(data.split(b"\n"), 1):
        try:
            rows += [make(_parse(raw))] if raw.strip() else []
        except _BadLine as why:
            bad.append(f"\n  line {number}: {why}")
    if not rows and not bad:
        raise ValueError(f"{path} is empty: give at least one line of JSON")
    if bad:
        listed = "".join(bad[:LISTED]) + (f"\n  and {len(bad) - LISTED} more" if len(bad) > LISTED else "")
        of = len(rows) + len(bad)
        raise ValueError(f"{path}: {len(bad)} of {of} lines cannot be used; mend or delete them{listed}")
    return rows


def _parse(raw: bytes) -> dict:
    try:
        text = raw.decode()
        line = json.loads(text, object_pairs_hook=_once)
    except UnicodeDecodeError as error:
        raise _BadLine(f"not UTF-8 ({error.reason} at byte {error.start + 1}); save the file as UTF-8") from None
    except json.JSONDecodeError as error:
        raise _BadLine(f"not JSON ({error.msg} at character {error.pos + 1}): {_short(text.strip())}") from None
    except ValueError as error:
        raise _BadLine(f"{error}: {_short(text.strip())}") from None
    except RecursionError:
        raise _BadLine(f"is nested too deeply: {_short(text.strip())}") from None
    if not isinstance(line, dict):
        raise _BadLine(f"must be an object like {{...}}; got {_short(line)}")
    return line


def _once(items: list[tuple]) -> dict:
    """A JSON object; Python alone would keep the last of two values with one name and forget the other."""
    names = [name for name, _ in items]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f'has "{twice[0]}" more than once')
    return dict(items)


def _text(line: dict, names: tuple[str, ...], longest: int) -> str:
    """The text under the one of `names` that is there."""
    there = [name for name in names if name in line]
    if not there:
        raise _BadLine(f'has no "{names[0]}"; it has {_short(sorted(line))}')
    if len(there) > 1:
        raise _BadLine(f'has "{there[0]}" and "{there[1]}", which mean the same; keep one')
    return _good_text(there[0], line[there[0]], longest)


def _good_text(name: str, text, longest: int) -> str:
    if not isinstance(text, str) or not text.strip():
        raise _BadLine(f'"{name}" must be a text that is not empty; got {_short(text)}')
    if len(text) > longest:
        raise _BadLine(f'"{name}" has {len(text)} characters, more than {longest}; shorten it, or set longest=')
    if any("\ud800" <= c <= "\udfff" for c in text):
        raise _BadLine(f'"{name}" holds half a character (a lone surrogate such as \\ud83d); mend it')
    return text.strip()


def _replies(line: dict, longest: int) -> tuple[str, ...]:
    names = [name for name in ("replies", "chosen", "rejected") if name in line]
    if names == ["replies"] and isinstance(line["replies"], list) and len(line["replies"]) > 1:
        replies = tuple(_good_text("replies", reply, longest) for reply in line["replies"])
    elif names == ["chosen", "rejected"]:
        replies = tuple(_good_text(name, line[name], longest) for name in names)
    else:
        raise _BadLine(f'needs "replies", a list of two or more, or else "chosen" and "rejected"; has {names}')
    if len(set(replies)) == 1:
        raise _BadLine(f"ranks a reply above itself: {_short(replies[0])}")
    return replies


def _cut(line: dict, count: int) -> tuple[int, ...]:
    """The places under "cut"."""
    cut, places = line.get("cut", []), range(count)
    if not isinstance(cut, list) or not all(type(i) is int and i in places for i in cut) or len(set(cut)) < len(cut):
        raise _BadLine(f'"cut" must list places of replies, each once, from 0 to {count - 1}; got {_short(cut)}')
    return tuple(cut)


def _short(x) -> str:
    """How a value looks, cut to 60 characters."""
    return repr(x) if len(repr(x)) <= 60 else repr(x)[:60] + "..."
