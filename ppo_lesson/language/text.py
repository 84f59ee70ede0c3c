"""Text to token ids and back, and padding, for any tokenizer. CHAT: the format of a chat in the course's own models.

Whether EOS is also PAD changes nothing, because masks are made from lengths and never from ids.
"""

import contextlib
import random
import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from .. import validate
from .data import Dialogue, turns_of
from .loading import without_code

CHAT, TODAY, DATES = validate.read_toml(__package__, "text.toml").values()
CALENDAR = "".join(f" | replace({code!r}, {said!r})" for code, said in DATES.items())
CALENDAR = f"{{% macro strftime_now(format) %}}{{{{ format{CALENDAR} }}}}{{% endmacro %}}\n"  # in Jinja's own's place
MARK = "A reply."  # whose end a chat template shows


def load_tokenizer(folder) -> PreTrainedTokenizerBase:
    """A tokenizer from a folder, or from the hub by name. One without a PAD gets its EOS in that place."""
    tokenizer = without_code(AutoTokenizer, folder)
    validate.require(tokenizer.eos_token_id is not None, ValueError, "texts", "no end", folder)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    with contextlib.suppress(AttributeError):  # of other kinds: BPE may cut words at random (BPE-dropout)
        tokenizer.backend_tokenizer.model.dropout = None
    return tokenizer


def _ids(tokenizer, text: str, **how) -> list[int]:
    with validate.refusing(Exception, ValueError, "texts", "no token for it", text):
        return tokenizer(text, **{"add_special_tokens": False, "split_special_tokens": False} | how)["input_ids"]


def start_ids(tokenizer) -> list[int]:
    """What the tokenizer puts before a text by itself: a BOS, or nothing."""
    bare, whole = (tokenizer("a", add_special_tokens=special)["input_ids"] for special in (False, True))
    return whole[: next((n for n in range(len(whole)) if whole[n : n + len(bare)] == bare), 0)]


def prompt_ids(tokenizer, prompt: str) -> list[int]:
    """Ids of one prompt, with everything up to where the reply begins; without a chat template the prompt as it is.

    ValueError for a Dialogue without a template, and for a template that fails on a turn or has no place for it.
    """
    turns = turns_of(prompt)
    if not tokenizer.chat_template:
        validate.require(not isinstance(prompt, Dialogue) or prompt.spoken, ValueError, "texts", "template", prompt)
        ids, start = _ids(tokenizer, prompt), start_ids(tokenizer)
        return ids if ids[: len(start)] == start else [*start, *ids]  # a prompt may have its BOS already
    words = {*tokenizer.all_special_tokens, *tokenizer.convert_ids_to_tokens(end_ids(tokenizer))}
    found = [x for x in words if len(x) > 2 and any(x in turn["content"] for turn in turns)]  # "!" may be a PAD
    validate.require(not found, ValueError, "texts", "special token", found, prompt)
    text = _chat(tokenizer, turns, add_generation_prompt=True) + _turn(tokenizer, str(tokenizer.chat_template))[2]
    lost = [x["role"] for x in turns if isinstance(prompt, Dialogue) and x["content"].strip() not in text]
    if turns[0]["role"] == "system":  # which a template for two roles may write as it writes a reply
        with contextlib.suppress(ValueError):
            other = [turns[0] | {"role": "assistant"}, *turns[1:]]
            lost += ["system"] * (text == _chat(tokenizer, other, add_generation_prompt=True))
    if prompt.strip() not in text:  # though it may write texts in a way of its own
        any_ = _chat(tokenizer, [{"role": "user", "content": MARK}], add_generation_prompt=True)
        lost += ["user"] * (text == any_)
    validate.require(not lost, ValueError, "texts", "no place", lost, prompt)
    return _ids(tokenizer, text)


def pair_ids(tokenizer, prompt: str, reply: str) -> tuple[list[int], list[int]]:
    """Ids of a prompt, and of the reply that is learned: what the template marks (generation), if it does, and its end.

    ValueError if the template, with the reply as one more turn, does not go on where the prompt ends, or holds an end.
    """
    asked, said = prompt_ids(tokenizer, prompt), reply_ids(tokenizer, reply, prompt=prompt)
    chat = [*turns_of(prompt), {"role": "assistant", "content": reply}]
    marks = tokenizer.chat_template and re.search(r"\{%-?\s*generation\b", tokenizer.get_chat_template())
    ends = {*end_ids(tokenizer)}.intersection(_ids(tokenizer, reply, split_special_tokens=not marks))
    validate.require(not ends, ValueError, "texts", "special token", [*map(tokenizer.decode, ends)], reply)
    if marks:
        out = _chat(tokenizer, chat, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
        end = (marked := bytes(out["assistant_masks"])).rfind(1) + 1
        start, ids = marked.rfind(0, 0, end) + 1, out["input_ids"]
        if end:
            last = turns_of(prompt)[-1]["content"].strip()
            heard = [last in tokenizer.decode(x) for x in (ids[:start], asked)]
            validate.require(heard != [False, True], ValueError, "texts", "marks too much", prompt)
            asked, said = ids[:start], ids[start : end + (ids[end : end + 1] == end_ids(tokenizer)[:1])]
    elif tokenizer.chat_template:
        whole, begin = _chat(tokenizer, chat), _chat(tokenizer, chat[:-1], add_generation_prompt=True)
        _, there, behind = (f" {whole[len(begin) :]}" * whole.startswith(begin)).rpartition(reply.strip() or " ")
        tail = behind.partition(tokenizer.convert_ids_to_tokens(said[-1]))[0].strip()  # what its turn still says
        validate.require(there and not tail, ValueError, "texts", "written otherwise", prompt)
    return asked, said


def habits(tokenizer) -> dict[str, Sequence]:
    """What tells one tokenizer from another: its words, what it writes and reads of them all, and its chat template."""
    words = sorted(getattr(tokenizer, "get_vocab", dict)().items())
    written = tokenizer.decode([i for _, i in words], skip_special_tokens=True, clean_up_tokenization_spaces=False)
    with contextlib.suppress(ValueError):  # of words that it cannot read itself
        written += f"{_ids(tokenizer, written)}"
    return {"tokenizer": words, "texts of the tokenizer": written, "chat template": f"{tokenizer.chat_template}"}


def document_ids(tokenizer, text: str) -> list[int]:
    """Ids of a plain text, with a BOS if the tokenizer has one there, and with the EOS."""
    return [*start_ids(tokenizer), *reply_ids(tokenizer, text, ended=False), tokenizer.eos_token_id]


def _chat(tokenizer, turns: list[dict], **more):
    """What the chat template writes, on the same day for ever. ValueError if it fails, as somebody's program may."""
    numbers = random.getstate()
    try:
        template = CALENDAR * ("strftime_now" in (own := tokenizer.get_chat_template())) + own
        written = tokenizer.apply_chat_template(turns, chat_template=template, **{"tokenize": False} | more)
    except Exception as error:
        who = f"turns of {', '.join(x['role'] for x in turns)}" if len(turns) > 1 else "one turn of a user"
        raise ValueError(validate.refusal("texts", "template fails", who, error, turns[-1]["content"])) from error
    same, _ = random.getstate() == numbers, random.setstate(numbers)
    validate.require(same, ValueError, "texts", "random template", turns[-1]["content"])
    return written


def end_ids(tokenizer, model=None) -> list[int]:
    """Ids that end a reply. The first is the one to learn: what the chat template ends a turn with, or else the EOS.

    The others are the EOS, and those that the model's generation_config names: its authors let it stop there, too.
    """
    theirs = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    theirs = theirs if isinstance(theirs, list | tuple) else [] if theirs is None else [theirs]
    theirs = [validate.integer("eos_token_id in the model's generation_config.json", i, 0) for i in theirs]
    return list(dict.fromkeys([_turn(tokenizer, str(tokenizer.chat_template))[1], tokenizer.eos_token_id, *theirs]))


@lru_cache(maxsize=8)
def _turn(tokenizer, template: str) -> tuple[str, int, str, str]:
    """The blanks that the template (named so that a new one is read) writes before a reply, and the id that ends it:
    the first special token behind it, or the EOS. How its turn begins where nothing says it; the blanks before its end.
    """
    if not tokenizer.chat_template:
        return "", tokenizer.eos_token_id, "", ""
    turns = [{"role": role, "content": MARK} for role in ("user", "assistant")]
    try:
        text, begin = _chat(tokenizer, turns), _chat(tokenizer, turns[:1], add_generation_prompt=True)
    except ValueError:  # `prompt_ids` says so where it matters
        return "", tokenizer.eos_token_id, "", ""
    before, _, behind = text.rpartition(MARK)
    gap = before[len(begin) :] if before.startswith(begin) else ""
    head = "" if gap.isspace() or begin != _chat(tokenizer, turns[:1]) else gap.rstrip(" ")
    gap = gap[len(head) :]
    special = {*tokenizer.all_special_ids, *(i for i, x in tokenizer.added_tokens_decoder.items() if x.content.strip())}
    end = next((i for i in _ids(tokenizer, behind) if i in special), tokenizer.eos_token_id)
    tail = behind.partition(tokenizer.convert_ids_to_tokens(end))[0]
    return gap if gap.isspace() else "", end, head, tail if tail.isspace() and tail != behind else ""


@lru_cache(maxsize=8)
def _lead(tokenizer) -> list[int]:
    """Ids of a newline, behind which a reply is read and written if alone it would get a space in front, or lose it."""
    lead, alone, spaced = (_ids(tokenizer, text) for text in ("\n", "a", " a"))
    return [] if _ids(tokenizer, "\na")[len(lead) :] == alone and tokenizer.decode(spaced) == " a" else lead


def _gap(tokenizer, prompt: str, reply: str) -> str:
    """What stands between prompt and reply: in our own chats, and in plain text, a space before English words."""
    if tokenizer.chat_template not in (None, CHAT):
        return _turn(tokenizer, str(tokenizer.chat_template))[0]
    first = unicodedata.normalize("NFC", reply[:2])[:1]  # as tokenizers write an e and its accent
    return " " * ((tokenizer.chat_template == CHAT or not prompt[-1:].isspace()) and "!" <= first <= "~")


def reply_ids(tokenizer, reply: str, *, prompt: str = "", ended: bool = True) -> list[int]:
    """Ids of one reply with what ends it, once. What looks like a special token in the text is plain text.

    ended=False: a reply that was cut at the longest length; it gets no end, as its writer chose none.
    An English reply begins with a space, as words inside a text do; not behind a plain prompt that ends in a space or
    a newline, and under a foreign chat template only if that writes one there.
    """
    text = "\n" * bool(_lead(tokenizer)) + _gap(tokenizer, prompt, reply) + reply
    text += _turn(tokenizer, str(tokenizer.chat_template))[3] * ended
    ids = _ids(tokenizer, text, split_special_tokens=True)[len(_lead(tokenizer)) :]
    return [*ids, end_ids(tokenizer)[0]] if ended else ids


def reply_text(tokenizer, ids: Sequence[int] | Tensor, *, prompt: str = "", ends: Sequence[int] = ()) -> str:
    """The text of a reply: what stands before its first end, without the space that `reply_ids` put in front.

    ends: ids that end it, see `end_ids`; if none are given, those of the tokenizer.
    """
    ids, ends = [int(i) for i in ids], set(ends or end_ids(tokenizer))
    said = ids[: next((n for n, i in enumerate(ids) if i in ends), None)]
    text = tokenizer.decode([*_lead(tokenizer), *said], skip_special_tokens=True, clean_up_tokenization_spaces=False)
    tail = _turn(tokenizer, str(tokenizer.chat_template))[3] * (said != ids)
    text = text.removeprefix(tokenizer.decode(_lead(tokenizer))).removesuffix(tail)
    return text.removeprefix(_gap(tokenizer, prompt, text.removeprefix(" ")))


def pad_right(rows: Sequence[Sequence[int]], pad_id: int) -> tuple[Tensor, Tensor]:
    """Rows of different lengths -> ids (B, T) with the text at the left end, and mask (B, T), true on real tokens."""
    return _pad(rows, pad_id, left=False)


def pad_left(rows: Sequence[Sequence[int]], pad_id: int) -> tuple[Tensor, Tensor]:
    """The same with the text at the right end, (B, P): as sampling wants it, so that replies begin in one column."""
    return _pad(rows, pad_id, left=True)


def _pad(rows, pad_id: int, left: bool) -> tuple[Tensor, Tensor]:
    lengths = [len(row) for row in rows]
    validate.require(lengths and all(lengths), ValueError, "texts", "no token", lengths)
    how = {"batch_first": True, "padding_side": "left" if left else "right"}
    ids = [torch.as_tensor(row, dtype=torch.long) for row in rows]
    mask = pad_sequence([torch.ones(len(row), dtype=torch.bool) for row in rows], **how)
    return pad_sequence(ids, padding_value=validate.integer("pad_id", pad_id, 0), **how), mask
