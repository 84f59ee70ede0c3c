"""Tiny random language models of three architectures, and prompts for them. Vocabulary of 40; EOS 1, PAD 0."""

import inspect
from types import SimpleNamespace

import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from ppo_lesson.language.models import load_language_model
from ppo_lesson.language.sampling import cache_name
from ppo_lesson.language.text import pad_left

VOCAB, EOS, PAD = 40, 1, 0
SMALL = {
    "vocab_size": VOCAB,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "initializer_range": 0.3,
    "bos_token_id": None,
    "eos_token_id": EOS,
    "pad_token_id": PAD,
    "max_position_embeddings": 64,
}
MLP = {"num_key_value_heads": 2, "intermediate_size": 32}


def build(kind, **changes):
    """A model with random weights: "llama", "gpt2" (absolute positions, dropout 0.1) or "qwen2"."""
    torch.manual_seed(5)
    if kind == "gpt2":
        return GPT2LMHeadModel(GPT2Config(**SMALL | changes))
    config, model = {"llama": (LlamaConfig, LlamaForCausalLM), "qwen2": (Qwen2Config, Qwen2ForCausalLM)}[kind]
    return model(config(**SMALL | MLP | changes))


KINDS = ("llama", "gpt2", "qwen2")


def from_disk(kind, folder, **changes):
    """The same, written to a folder and read from there."""
    build(kind, **changes).save_pretrained(folder)
    return load_language_model(folder)


def prompts(lengths=(3, 7, 1, 5), seed=0, pad=PAD):
    """Prompts of these lengths, padded on the left: ids, mask. The second token of each is EOS, as in a template."""
    g = torch.Generator().manual_seed(seed)
    rows = [torch.randint(2, VOCAB, (n,), generator=g).tolist() for n in lengths]
    return pad_left([[*row[:1], EOS, *row[2:]] if len(row) > 2 else row for row in rows], pad)


def with_cache_called(name, model):
    """The model; its trunk takes and gives its cache by this name alone, as another version of transformers does."""
    forward, own = model.base_model.forward, cache_name(model)

    def renamed(input_ids, attention_mask=None, position_ids=None, use_cache=None, **given):
        out = forward(
            input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            use_cache=use_cache,
            **{own: given.pop(name, None)},
        )
        assert not given, f"{[*given]} would be passed over, and every token read without those before it"
        return SimpleNamespace(last_hidden_state=out.last_hidden_state, **{name: getattr(out, own)})

    parameters = [*inspect.signature(renamed).parameters.values()][:-1]
    cache = inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None)
    renamed.__signature__ = inspect.Signature([*parameters, cache])
    model.base_model.forward = renamed
    return model


class Letters:
    """A tokenizer of single letters: EOS (which is PAD too) is 0, "a" is 1, and so on. No chat template."""

    chat_template, eos_token_id, pad_token_id = None, 0, 0

    def __init__(self, vocab):
        self.vocab = vocab

    def __call__(self, text, **_):
        return {"input_ids": [ord(c) - ord("a") + 1 for c in text.strip()]}

    def decode(self, ids, **_):
        return "".join(chr(ord("a") + i - 1) for i in ids)
