"""A language model small enough for a laptop, its tokenizer, a byte-level BPE, and how it is pretrained.

EOS is not PAD here. Every Chinese character of the training texts is one token, and none is merged with its neighbours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from ppo_lesson import validate
from ppo_lesson.hardware.hardware import CPU, Hardware
from ppo_lesson.language.models import device, without_dropout
from ppo_lesson.language.sampling import token_logps
from ppo_lesson.language.supervised import SupervisedConfig, train_steps
from ppo_lesson.language.text import CHAT, document_ids
from ppo_lesson.objectives import aggregate

SPECIAL = ("<pad>", "<eos>", "<user>", "<reply>")
HAN = "[\u4e00-\u9fff]"
OFTEN = 10_000  # times that each Chinese character is shown beside the texts, so that its bytes are merged first


def train_tokenizer(texts: Iterable[str], *, vocab_size: int = 1600) -> PreTrainedTokenizerFast:
    """A byte-level BPE (Sennrich et al. 2016, on bytes) with a chat template: <user>question<reply>answer<eos>.

    The bytes of every Chinese character in `texts` are merged before any others, so that each character, however rare,
    is one token if vocab_size has room for all of them (about 1.3 tokens for each of them, and 260 for the rest).
    """
    texts = list(texts)
    characters = sorted(set(re.findall(HAN, "".join(texts))))
    tokenizer = Tokenizer(models.BPE())
    han = pre_tokenizers.Split(Regex(HAN), behavior="isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([han, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([*texts, *(c * OFTEN for c in characters)], trainer)
    pad, eos, *_ = SPECIAL
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=pad,
        eos_token=eos,
        additional_special_tokens=list(SPECIAL[2:]),
        chat_template=CHAT,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def tiny_llama(vocab_size: int, *, width: int = 96, layers: int = 3, heads: int = 4, context: int = 256, seed: int = 0):
    """A small Llama with random weights; with 1280 tokens it has about 0.46 million parameters."""
    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=width,
        intermediate_size=width * 8 // 3,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=context,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=1,
        pad_token_id=0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config).eval()


SHAPE = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
SHAPE += ("num_key_value_heads", "max_position_embeddings", "rms_norm_eps", "tie_word_embeddings")
SHAPE += ("eos_token_id", "pad_token_id", "bos_token_id")


def as_qwen2(llama: LlamaForCausalLM) -> Qwen2ForCausalLM:
    """The same function in the architecture of Qwen2: a Llama with biases on q, k and v, which begin at 0."""
    model = Qwen2ForCausalLM(Qwen2Config(**{name: getattr(llama.config, name) for name in SHAPE}))
    new = model.load_state_dict(llama.state_dict(), strict=False).missing_keys
    for name in new:
        model.get_parameter(name).data.zero_()
    assert all(name.endswith("_proj.bias") for name in new)
    return without_dropout(model)


PRETRAIN = SupervisedConfig(steps=900, batch=16, lr=6e-3)


def pretrain(
    model,
    tokenizer,
    documents: list[str],
    config=PRETRAIN,
    *,
    seed: int,
    width: int = 80,
    resume=None,
    hardware: Hardware = CPU,
) -> Iterator[dict]:
    """Next-token prediction on `documents`, joined with EOS and cut into rows of `width` tokens. The model learns.

    Rows: step, loss (nats per token), lr, grad_norm, tokens (that were predicted).
    """
    validate.integer("width", width, 2)
    stream = torch.tensor([i for text in documents for i in document_ids(tokenizer, text)])
    count = len(stream) // width
    if count < config.batch:
        raise ValueError(f"documents hold {len(stream)} tokens, too few for {config.batch} rows of {width}; give more")
    rows = stream[: count * width].view(count, width)

    def batch_loss(index: Tensor, tokens: int):
        ids = rows[index].to(device(model))
        logp = token_logps(model, ids, torch.ones_like(ids, dtype=torch.bool), width - 1)
        return -aggregate(logp, denominator=tokens), {"tokens": logp.numel()}

    sizes = [(width - 1, width)] * count
    yield from train_steps(model, batch_loss, rows.tolist(), sizes, config, seed, resume, hardware)
