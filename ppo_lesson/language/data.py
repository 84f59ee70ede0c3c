"""Readers of prompts, demonstrations and rankings, one object of JSON a row (in the files that files.py reads).

    {"prompt": "..."}                                        read_prompts
    {"prompt": "...", "reply": "..."}                        read_pairs         ("response", "completion" mean the same)
    {"prompt": "...", "replies": ["best", ..., "worst"]}     read_rankings      "cut": [2] if the third was cut short
    {"prompt": "...", "chosen": "...", "rejected": "..."}    all three; without "prompt" it is what both begin with
    {"messages": [{"role": "user", "content": "..."}, ...]}  prompts, and a pair for each turn of the assistant

A text may also be such a list of turns, or be written like hh-rlhf: "\\n\\nHuman: ...\\n\\nAssistant: ...".

A bad row never disappears: one error lists all with their numbers and what is wrong. A good row with nothing to teach
(a prompt that comes again, a reply twice) is left out, and counted. Blank lines and other names ("id") mean nothing.
"""

import json
import re
import warnings
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from ..validate import refusal, require
from .files import KNOWN, Bad, conversion, read_rows, short

LISTED = 10  # bad rows that an error message lists in full
FORM_OF, HOLDS, (ROLES, UNREAD, FALSY, SPOKEN, BESIDE, SAID) = KNOWN["form_of"], KNOWN["fields"], KNOWN["turn"].values()
TURNS = re.compile(r"""\s*\[\s*\{\s*['"](role|content)['"]""")  # a list of turns that a table made a text of
SPEAKER = re.compile(r"(?:^|\n\n)(Human|Assistant):")
ENDS = re.compile(r".*(?:[.?!:](?=\s)|[。？！：\n])", re.S)  # up to the last end of a line or a sentence


class Dialogue(str):
    """A prompt of several turns, {"role", "content"} each; as a text, what a person and a reward function read.

    spoken: the data wrote them as that text, so that a tokenizer without a chat template may, too.
    """

    def __new__(cls, turns: list[dict], spoken: bool = False):
        said = [f"{SPOKEN[turn['role']]}: {turn['content']}" for turn in turns]
        self = super().__new__(cls, "\n\n".join(["", *said, "Assistant:"]))
        self.turns, self.spoken = turns, spoken
        return self

    def __getnewargs__(self):  # for other processes
        return self.turns, self.spoken


def turns_of(prompt: str) -> list[dict]:
    """What a chat template gets: the turns of a Dialogue, or one of the user."""
    return prompt.turns if isinstance(prompt, Dialogue) else [{"role": "user", "content": prompt}]


@dataclass(frozen=True)
class Pair:
    """A prompt with the reply it should get."""

    prompt: str
    reply: str
    replies = property(lambda self: (self.reply,))  # as a Ranking has several


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
        prompt = self.prompt.turns if isinstance(self.prompt, Dialogue) else self.prompt
        return {"prompt": prompt, "replies": list(self.replies)} | ({"cut": list(self.cut)} if self.cut else {})


def read_prompts(path) -> list[str]:
    """The prompts of a file, each once, in order; those of several turns as a Dialogue."""
    return read(path, "prompts", warn=True)[0]


def read_pairs(path) -> list[Pair]:
    """Prompts with demonstrations, for supervised fine-tuning."""
    return read(path, "demonstrations", warn=True)[0]


def read_rankings(path) -> list[Ranking]:
    """Prompts with two or more replies each, the best first."""
    return read(path, "rankings", warn=True)[0]


def read(path, kind: str, *, warn: bool = False) -> tuple[list, list[str], str]:
    """The rows, where each stood ("line 3"), and one line that says what was recognised and what was left out.

    kind: prompts, demonstrations or rankings. warn: with a warning of what was left out. ValueError for bad rows.
    """
    container, unit, lines = read_rows(path)
    found, bad, left, forms, remedy = {}, [], defaultdict(list), {}, ()
    for number, line in lines:
        try:
            for i, row in enumerate(_examples(line, kind)):
                key = row.strip() if kind == "prompts" else (number, i)
                require(key not in found, _Left, "rows", "repeated")
                found[key] = row, f"{unit} {number}"
            forms[", ".join(f'"{name}"' for name in ("prompt", *FORM_OF) if line.get(name))] = None
        except _Left as why:
            left[str(why)].append(number)
        except Bad as why:
            bad.append(f"\n  {unit} {number}: {why.args[0]}")
            remedy = remedy if why.args[1:] == (KNOWN["renamed"],) and found else why.args[1:] or remedy
    rows, places = ([one[i] for one in found.values()] for i in (0, 1))
    twice = [x for r, x in found.values() if kind == "rankings" and len({*zip(r.replies, r.ended)}) < len(r.replies)]
    again = [_repeats(r.prompt, x) for r in rows if kind != "prompts" for x in r.replies]
    if not bad and sum(again) > len(again) / 2:
        bad, remedy = [KNOWN["repeated"]["says"].format(sum(again), len(again))], [KNOWN["repeated"]]
    if bad:
        words = f"{path}: {len(bad)} of {len(lines)} {unit}s cannot be used; mend or delete them"
        more = f"\n  and {len(bad) - LISTED} more" * (len(bad) > LISTED)
        raise ValueError("".join([words, *bad[:LISTED], more, conversion(path, *remedy) if remedy else ""]))
    counted = [f"{len(n)} of {len(lines)} {unit}s {why} ({short(n)[1:-1]})" for why, n in left.items()]
    said = f"{path}: {container} with {'; or '.join(forms)}, {len(rows)} {kind}"
    said += f"; left out: {', '.join(counted)}" * bool(counted)
    said += refusal("rows", "copies", len(twice), short(", ".join(twice))) * bool(twice)
    require(rows, ValueError, "texts", "nothing left", said)
    if counted and warn:
        warnings.warn(said, stacklevel=3)
    return rows, places, said


def write(path, rows: list[dict]) -> None:
    """One JSON object a line, UTF-8, newline at the end; the same rows give the same bytes everywhere."""
    Path(path).write_bytes("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())


class _Left(Exception):
    """Why a row that is well made has nothing to teach."""


def _examples(row: dict | Bad, kind: str) -> list:
    """The prompts, pairs or rankings of one row."""
    if isinstance(row, Bad):
        raise row
    names = [name for name in FORM_OF if row.get(name) is not None]  # a table's row has the columns of all rows
    names = names or [name for name in FORM_OF if name in row and kind != "prompts"]
    for other in KNOWN["form"]:
        ours = {"prompt", *names} & row.keys() - set(other["keys"])
        if row.keys() >= set(other["keys"]) and not ours and str(row.get("label", True)).lower() in SAID:
            raise Bad(f"is of the form {other['name']}", other)
    _refuse_unread("", row, BESIDE)
    form = FORM_OF[next((name for name in HOLDS[kind] if name in names), names[0])] if names else ""
    drop = [name for name in names if FORM_OF[name] != form] + ["prompt"] * (form == "dialogue" and "prompt" in row)
    if drop:
        two = short(list(dict.fromkeys([*names[:1], *drop, *names])))
        raise Bad(f"fits two forms, as it has {two}; keep the fields of one", KNOWN["two"], drop)
    if form == "comparison" and not any(isinstance(x, list) or _is_spoken(x) for x in row.values()) | ("prompt" in row):
        texts = [_text(name, row.get(name)) for name in ("chosen", "rejected")]
        alike = next((i for i, (a, b) in enumerate(zip(*texts)) if a != b), min(map(len, texts)) - 1)
        begin = ENDS.match(texts[0][:alike])
        require(begin, Bad, "rows", "no common start")
        rest = (text[begin.end() :].removeprefix(" ") for text in texts)
        row = {"prompt": begin[0]} | dict(zip(("chosen", "rejected"), rest))
    fields = [name for name in HOLDS[kind] if name in row and FORM_OF.get(name, form) == form]
    if "prompt" not in row and (form not in ("dialogue", "comparison") or (kind == "prompts" and not fields)):
        raise Bad(f'has no "prompt"; it has {short(sorted(row))}', KNOWN["renamed"])
    spoken = any(_is_spoken(row.get(name)) for name in ("prompt", *names))
    before = _turns("prompt", row["prompt"], "user") if "prompt" in row else []

    def whole(name: str, value) -> list[dict]:
        turns = _turns(name, value, "assistant", spoken)
        return _in_order(name, turns if turns[: len(before)] == before else [*before, *turns], spoken)

    def prompt(turns: list[dict]) -> str:
        return Dialogue(turns, spoken) if spoken or len(turns) > 1 else turns[0]["content"]

    if kind == "prompts":
        turns = before or _turns(fields[0], row[fields[0]], "assistant")
        asked = turns if before or turns[-1]["role"] == "user" else turns[:-1]
        return [prompt(_in_order(fields[0], [*asked, {"role": "assistant", "content": "?"}], spoken)[:-1])]
    if kind == "demonstrations":
        if len(fields) != 1:
            two = f'has "{fields[0]}" and "{fields[1]}", which mean the same; keep one' if fields else ""
            require(fields or "replies" not in row, Bad, "rows", "ranked")
            raise Bad(two or f'has no "reply"; it has {short(sorted(row))}', *() if two else (KNOWN["renamed"],))
        turns = whole(fields[0], row[fields[0]])
        ends = [i for i, turn in enumerate(turns) if turn["role"] == "assistant" and i >= len(before)]
        return [Pair(prompt(turns[:i]), turns[i]["content"]) for i in (ends[-1:] if form == "comparison" else ends)]
    values = {name: row[name] for name in fields}
    if isinstance(several := values.get("replies"), list):
        values = {f"replies[{i}]": x for i, x in enumerate(several)}
    require(len(values) >= 2, Bad, "rows", "no replies", names)
    wholes = [whole(name, value) for name, value in values.items()]
    require(not any(turns[:-1] != wholes[0][:-1] for turns in wholes), _Left, "rows", "apart")
    replies = tuple(turns[-1]["content"] for turns in wholes)
    if len({reply.strip() for reply in replies}) == 1:
        itself = f"ranks a reply above itself: {short(replies[0])}"
        raise Bad(itself) if form == "ours" else _Left("hold the same reply twice")
    cut, places = row.get("cut", []), range(len(replies))
    if not isinstance(cut, list) or not all(type(i) is int and i in places for i in cut) or len(set(cut)) < len(cut):
        raise Bad(f'"cut" must list places of replies, each once, from 0 to {places[-1]}; got {short(cut)}')
    return [Ranking(prompt(wholes[0][:-1]), replies, tuple(cut))]


def _turns(name: str, value, role: str, spoken: bool = False) -> list[dict]:
    """{"role", "content"} of each turn: of a list of them, of a text of Human: and Assistant:, or of one text alone."""
    if _is_spoken(value):
        words = SPEAKER.split(value.strip())[1:]
        turns = [{"role": ROLES[1 + (x != "Human")], "content": y.strip()} for x, y in zip(words[::2], words[1::2])]
        return turns[: -1 if role == "user" and not turns[-1]["content"] else None]  # a prompt ends with "Assistant:"
    if not isinstance(value, list) or not value:
        return [{"role": role, "content": _text(name, value).removeprefix(" " * spoken)}]  # of "Assistant: So."
    turns = []
    for i, turn in enumerate(value):
        if not isinstance(turn, dict) or turn.get("role") not in ROLES:
            raise Bad(f'"{name}[{i}]" must have "content" and a "role": {", ".join(ROLES)}; got {short(turn)}')
        _refuse_unread(f'"{name}[{i}]" ', turn, UNREAD)
        turns.append({"role": turn["role"], "content": _text(f"{name}[{i}].content", turn.get("content"))})
    return turns


def _refuse_unread(where: str, values: dict, names: list[str]) -> None:
    if unread := [x for x in names if values.get(x) not in (None, x not in FALSY, "", [])]:
        raise Bad(f'{where}has "{unread[0]}", which is not read here and changes what is to be learned: leave it out')


def _repeats(prompt: str, reply: str) -> bool:
    """Whether the reply is the prompt, and goes on behind it: after a blank, or where the prompt had ended a word."""
    prompt, reply = prompt.strip(), reply.lstrip()
    rest = reply[len(prompt) :] if reply.startswith(prompt) else ""
    return rest[:1].isspace() or bool(rest and not prompt[-1].isalnum())


def _is_spoken(value) -> bool:
    return isinstance(value, str) and value.lstrip().startswith("Human:") and "\n\nAssistant:" in value


def _in_order(name: str, turns: list[dict], spoken: bool) -> list[dict]:
    """The turns, if user and assistant take turns up to a reply. spoken: a text that was cut into turns only here."""
    roles = [turn["role"] for turn in turns]
    talk = roles[roles[:1] == ["system"] :]
    right = talk and talk == ["user", "assistant"] * (len(talk) // 2)
    require(not spoken or (right and all(turn["content"] for turn in turns)), _Left, "rows", "empty turn")
    require(right, Bad, "texts", "take turns", name, short(roles))
    return turns


def _text(name: str, text) -> str:
    require(isinstance(text, str) and text.strip(), Bad, "rows", "no text", name, short(text))
    require(not any("\ud800" <= c <= "\udfff" for c in text), Bad, "rows", "half a character", name)
    require(not TURNS.match(text), Bad, "rows", "turns in quotes", name, short(text))
    return text
