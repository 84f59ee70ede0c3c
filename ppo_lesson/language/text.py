"""Text to token ids and back, and padding, for any tokenizer. CHAT: the format of a chat in the course's own models.

Whether EOS is also PAD changes nothing, because masks are made from lengths and never from ids.
"""

from collections.abc import Sequence

import torch
from jinja2 import TemplateError
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from .. import validate
from .loading import without_code

CHAT = (  # with a space before a reply that begins in ASCII, as in `reply_ids`
    "{% for m in messages %}{% if m['role'] == 'user' %}<user>{{ m['content'] }}<reply>"
    "{% else %}{{ ' ' if '!' <= m['content'][:1] <= '~' }}{{ m['content'] }}<eos>{% endif %}{% endfor %}"
)


def load_tokenizer(folder) -> PreTrainedTokenizerBase:
    """A tokenizer from a folder, or from the hub by name. One without a PAD gets its EOS in that place."""
    tokenizer = without_code(AutoTokenizer, folder)
    if tokenizer.eos_token_id is None:
        raise ValueError(f"the tokenizer in {folder} has no EOS token, so that no reply could end; give it one")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def prompt_ids(tokenizer, prompt: str) -> list[int]:
    """Ids of one prompt, with everything up to where the reply begins; without a chat template the prompt as it is."""
    if tokenizer.chat_template:
        chat = [{"role": "user", "content": prompt}]
        try:
            prompt = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        except TemplateError as error:
            raise ValueError(
                f"the tokenizer's chat template fails on one turn of a user ({error}), here {prompt!r:.60}. Mend it, "
                f"or take it out of tokenizer_config.json (or chat_template.jinja) if prompts are complete as they are"
            ) from error
    return tokenizer(prompt, add_special_tokens=False)["input_ids"]


def reply_ids(tokenizer, reply: str, *, ended: bool = True) -> list[int]:
    """Ids of one reply with one EOS, at its end. What looks like a special token in the text is plain text.

    ended=False: a reply that was cut at the longest length; it gets no EOS, as its writer chose none.

    An English reply begins with a space, as words inside a text do; under a foreign chat template it does not.
    """
    ours = tokenizer.chat_template in (None, CHAT)
    space = " " if ours and "!" <= reply[:1] <= "~" else ""
    ids = tokenizer(space + reply, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    return [*ids, tokenizer.eos_token_id] if ended else ids


def reply_text(tokenizer, ids: Sequence[int] | Tensor) -> str:
    """The text of a reply: what stands before the first EOS."""
    ids = [int(i) for i in ids]
    if tokenizer.eos_token_id in ids:
        ids = ids[: ids.index(tokenizer.eos_token_id)]
    return tokenizer.decode(ids, skip_special_tokens=True).strip()


def pad_left(rows: Sequence[Sequence[int]], pad_id: int) -> tuple[Tensor, Tensor]:
    """Rows of different lengths -> ids (B, P) with the text at the right end, and mask (B, P), true on real tokens.

    Sampling wants it so: every reply begins in the same column.
    """
    return _pad(rows, pad_id, left=True)


def pad_right(rows: Sequence[Sequence[int]], pad_id: int) -> tuple[Tensor, Tensor]:
    """Rows of different lengths -> ids (B, T) with the text at the left end, and mask (B, T), true on real tokens."""
    return _pad(rows, pad_id, left=False)


def _pad(rows, pad_id: int, left: bool) -> tuple[Tensor, Tensor]:
    if not rows or not all(len(row) for row in rows):
        raise ValueError(f"every text needs at least one token; got lengths {[len(row) for row in rows]}")
    validate.integer("pad_id", pad_id, 0)
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), pad_id)
    mask = torch.zeros(len(rows), width, dtype=torch.bool)
    for i, row in enumerate(rows):
        place = slice(width - len(row), width) if left else slice(0, len(row))
        ids[i, place] = torch.as_tensor(row)
        mask[i, place] = True
    return ids, mask
