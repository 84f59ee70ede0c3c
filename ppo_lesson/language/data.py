"""Readers of JSONL files: prompts, demonstrations, rankings. One JSON object a line.

    {"prompt": "..."}                                          read_prompts
    {"prompt": "...", "reply": "..."}                          read_pairs       ("response", "chosen" mean the same)
    {"prompt": "...", "replies": ["best", ..., "worst"]}       read_rankings    (or "chosen" and "rejected")
                                                               "cut": [2] if the third reply was cut before its end

A bad line never disappears: reading goes on to the end of the file, then one error lists the bad lines with their
numbers and what is wrong. What is odd but usable (a duplicate, a byte-order mark) is reported as a warning. Blank
lines, blanks around a text, and other names in a line ("language", "kind") mean nothing here.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path

SHOWN = 10  # bad lines that an error message lists in full


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
    prompts = [_text(number, line, ("prompt",), longest) for number, line in _lines(path)]
    good = _all_good(path, prompts)
    once = list(dict.fromkeys(good))
    if len(once) < len(good):
        warnings.warn(
            f"{path}: {len(good) - len(once)} of {len(good)} lines repeat an earlier prompt; each prompt is used once",
            stacklevel=2,
        )
    return once


def read_pairs(path, *, longest: int = 4000) -> list[Pair]:
    """Prompts with demonstrations, for supervised fine-tuning."""
    rows = []
    for number, line in _lines(path):
        prompt = _text(number, line, ("prompt",), longest)
        reply = _text(number, line, ("reply", "response", "chosen"), longest)
        bad = [x for x in (prompt, reply) if isinstance(x, _Bad)]
        rows.append(bad[0] if bad else Pair(prompt, reply))
    return _all_good(path, rows)


def read_rankings(path, *, longest: int = 4000) -> list[Ranking]:
    """Prompts with two or more replies each, the best first."""
    rows = []
    for number, line in _lines(path):
        prompt = _text(number, line, ("prompt",), longest)
        replies = _replies(number, line, longest)
        cut = _cut(number, line, replies)
        bad = [x for x in (prompt, replies, cut) if isinstance(x, _Bad)]
        rows.append(bad[0] if bad else Ranking(prompt, replies, cut))
    return _all_good(path, rows)


def write(path, rows: list[dict]) -> None:
    """One JSON object a line, UTF-8, newline at the end; the same rows give the same bytes everywhere."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    Path(path).write_bytes(text.encode())


# ---- one line ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Bad:
    """What is wrong with a line."""

    number: int
    why: str


def _lines(path) -> list[tuple[int, dict | _Bad]]:
    """(number, object) of every line that is not blank."""
    data = Path(path).read_bytes()
    if data.startswith(b"\xef\xbb\xbf"):
        warnings.warn(f"{path} begins with a byte-order mark; it is ignored", stacklevel=3)
        data = data[3:]
    lines = [(i, _parse(i, raw)) for i, raw in enumerate(data.split(b"\n"), 1) if raw.strip()]
    if not lines:
        raise ValueError(f"{path} is empty: give at least one line of JSON")
    return lines


def _parse(number: int, raw: bytes) -> dict | _Bad:
    try:
        text = raw.decode()
        line = json.loads(text, object_pairs_hook=_once)
    except UnicodeDecodeError as error:
        return _Bad(number, f"not UTF-8 ({error.reason} at byte {error.start + 1}); save the file as UTF-8")
    except json.JSONDecodeError as error:
        return _Bad(number, f"not JSON ({error.msg} at character {error.pos + 1}): {_short(text.strip())}")
    except ValueError as error:
        return _Bad(number, f"{error}: {_short(text.strip())}")
    except RecursionError:
        return _Bad(number, f"is nested too deeply: {_short(text.strip())}")
    return line if isinstance(line, dict) else _Bad(number, f"must be an object like {{...}}; got {_short(line)}")


def _once(items: list[tuple]) -> dict:
    """A JSON object; Python alone would keep the last of two values with one name and forget the other."""
    names = [name for name, _ in items]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f'has "{twice[0]}" more than once')
    return dict(items)


def _text(number: int, line, names: tuple[str, ...], longest: int):
    """The text under the one of `names` that is there, or what is wrong with it."""
    if isinstance(line, _Bad):
        return line
    there = [name for name in names if name in line]
    if not there:
        return _Bad(number, f'has no "{names[0]}"; it has {_short(sorted(line))}')
    if len(there) > 1:
        return _Bad(number, f'has "{there[0]}" and "{there[1]}", which mean the same; keep one')
    return _good_text(number, there[0], line[there[0]], longest)


def _good_text(number: int, name: str, text, longest: int):
    if not isinstance(text, str) or not text.strip():
        return _Bad(number, f'"{name}" must be a text that is not empty; got {_short(text)}')
    if len(text) > longest:
        return _Bad(number, f'"{name}" has {len(text)} characters, more than {longest}; shorten it, or set longest=')
    if any("\ud800" <= c <= "\udfff" for c in text):
        return _Bad(number, f'"{name}" holds half a character (a lone surrogate such as \\ud83d); mend it')
    return text.strip()


def _replies(number: int, line, longest: int):
    if isinstance(line, _Bad):
        return line
    names = [name for name in ("replies", "chosen", "rejected") if name in line]
    if names == ["replies"] and isinstance(line["replies"], list) and len(line["replies"]) > 1:
        replies = [_good_text(number, "replies", reply, longest) for reply in line["replies"]]
    elif names == ["chosen", "rejected"]:
        replies = [_good_text(number, name, line[name], longest) for name in names]
    else:
        return _Bad(number, f'needs "replies", a list of two or more, or else "chosen" and "rejected"; has {names}')
    bad = next((x for x in replies if isinstance(x, _Bad)), None)
    if bad is None and len(set(replies)) == 1:
        return _Bad(number, f"ranks a reply above itself: {_short(replies[0])}")
    return bad or tuple(replies)


def _cut(number: int, line, replies):
    """The places under "cut", or what is wrong with them."""
    if isinstance(line, _Bad) or isinstance(replies, _Bad):
        return ()
    cut = line.get("cut", [])
    places = range(len(replies))
    if not isinstance(cut, list) or not all(type(i) is int and i in places for i in cut) or len(set(cut)) < len(cut):
        return _Bad(number, f'"cut" must list places of replies, each once, from 0 to {places[-1]}; got {_short(cut)}')
    return tuple(cut)


def _short(x) -> str:
    """How a value looks, cut to 60 characters."""
    return repr(x) if len(repr(x)) <= 60 else repr(x)[:60] + "..."


def _all_good(path, rows: list) -> list:
    """The rows, or one ValueError that lists the bad lines."""
    bad = [row for row in rows if isinstance(row, _Bad)]
    if bad:
        listed = "\n".join(f"  line {row.number}: {row.why}" for row in bad[:SHOWN])
        more = f"\n  and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
        raise ValueError(f"{path}: {len(bad)} of {len(rows)} lines cannot be used; mend or delete them\n{listed}{more}")
    return rows
