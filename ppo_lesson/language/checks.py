"""What `rlhf` refuses before it begins, and not after an hour: settings, models, prompts that do not fit together."""

import copy
import warnings
from collections.abc import Sequence

from ..kl import FixedKL, ZieglerKL
from ..validate import refusal, require, used
from .data import LISTED
from .models import KINDS, Models, ScalarModel
from .sampling import context_limit
from .text import prompt_ids


def own_controller(config, models: Models, prompts, documents) -> FixedKL | ZieglerKL | None:
    """Refuse settings that do not fit together; give this run its own copy of the KL controller."""
    used(config)
    actor, critic, reference, _ = models
    fits = (config.advantages == "gae") == (critic is not None)
    require(fits, ValueError, "model", "gae and critic", config.advantages, critic)
    require(actor is not reference, ValueError, "model", "one object")
    if not prompts or isinstance(prompts, str) or not all(isinstance(prompt, str) for prompt in prompts):
        raise ValueError(f"prompts must be a list of at least one text; got {prompts!r:.60}")
    words = "no documents" if config.ptx_coef else "idle documents"
    require(bool(documents) == bool(config.ptx_coef), ValueError, "texts", words, config.ptx_coef)
    return copy.deepcopy(config.kl)


def encode(config, models: Models, prompts, tokenizer, places=()) -> list[tuple[str, list[int]]]:
    """(text, ids) of every prompt, each once. Refuses prompts and models that do not fit together; places: of each."""
    encoded = [(prompt, prompt_ids(tokenizer, prompt)) for prompt in dict.fromkeys(prompts)]
    if len(encoded) < len(prompts):
        warnings.warn(refusal("texts", "repeated", len(prompts) - len(encoded), len(prompts)), stacklevel=3)
    unknown = {getattr(tokenizer, "unk_token_id", None)} - {tokenizer.eos_token_id}
    empty = [text for text, ids in encoded if not {*ids} - unknown]
    require(not empty, ValueError, "texts", "nothing known", empty)
    actor, critic, reference, reward = models
    require(getattr(reward, "kind", "") != "critic", ValueError, "model", "a critic", KINDS["critic"], KINDS["reward"])
    readers = {"actor": actor, "critic": critic, "reference": reference}
    readers |= {"reward model": reward} if isinstance(reward, ScalarModel) else {}
    size = actor.config.get_text_config().vocab_size
    tokens = len(tokenizer) if hasattr(tokenizer, "__len__") else size
    for name, model in readers.items():
        has = size if model is None else model.config.get_text_config().vocab_size
        if has < tokens or (has != size and min(has, size) == tokens):  # padded to a round number, as many are
            raise ValueError(refusal("model", "another vocabulary", name, has, size, tokens))
    texts, ids = zip(*encoded)
    check_lengths(texts, list(map(len, ids)), readers, config.max_new_tokens, places)
    return encoded


def check_lengths(texts: Sequence[str], lengths: Sequence[int], models: dict, more: int = 0, places=()) -> None:
    """ValueError if a text of so many tokens, and `more` behind it, is longer than a model has positions for.

    models: what to call each in the message -> the model, or None. places: "line 3" of their file, for each of them.
    """
    for name, model in models.items():
        limit = context_limit(model)
        long = [i for i, n in enumerate(lengths) if limit and n + more > limit]
        if long:
            worst = max(long, key=lambda i: lengths[i])
            where = f" ({', '.join(dict.fromkeys(places[i] for i in long[:LISTED]))})" if places else ""
            reply = f", and its reply may have {more} more (max_new_tokens)" if more else ", its reply included"
            told = len(long), len(lengths), name, limit, where, texts[worst], lengths[worst], reply
            raise ValueError(refusal("texts", "too long", *told))
