"""How much memory a run takes, before it runs: no weight is loaded and nothing is computed.

    print(plan(AutoConfig.from_pretrained("Qwen/Qwen2.5-0.5B-Instruct"), profile, RLHFConfig(batch=64), prompt=128))

Weights, gradients and Adam's moments are counted from the model's shapes. Activations are counted by sending tensors
without numbers through one layer and through two; every further layer is like the second. Left out: what CUDA and its
allocator keep for themselves (`own`, which `fit` leaves free), and a reward model, unless `reward` names its shape.
"""

import json
import weakref
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AutoConfig, AutoModelForCausalLM

from ..language.head import chunk, of_actions
from ..language.models import without_dropout
from .lora import adapted, views
from .profile import GIB, Profile, checkpoint_gradients


class Counter(TorchDispatchMode):
    """While entered, counts the bytes of every storage that an operation makes, until it is freed. now, peak: bytes."""

    def __init__(self, *modules: nn.Module):
        super().__init__()
        self.now = self.peak = 0
        self.known = set()
        self.add([x for m in modules for x in [*m.parameters(), *m.buffers()]])

    def add(self, tensors) -> None:
        """Count the storages that are new."""
        for storage in (x.untyped_storage() for x in tensors if isinstance(x, torch.Tensor)):
            key, size = id(storage), storage.nbytes()  # one object as long as anyone holds its memory
            if key not in self.known:
                self.known.add(key)
                weakref.finalize(storage, self._free, key, size)
                self.now += size
        self.peak = max(self.peak, self.now)

    def _free(self, key, size) -> None:
        self.known.discard(key)
        self.now -= size

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.add(tree_leaves(out))
        return out


@dataclass(frozen=True)
class Plan:
    """Bytes. weights: of all models; gradients, optimizer: of what learns; activations: of one micro-batch, kept for
    the way back; logits: what the head, and the way back itself, add to these; cache: keys and values of all replies;
    sampling: what else the sampler needs. peak: the most at one time, in the update or while sampling; not their sum.
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    cache: int
    sampling: int
    peak: int

    def __str__(self) -> str:
        parts = [f"{name} {size(getattr(self, name))}" for name in self.__dataclass_fields__ if name != "peak"]
        return f"{size(self.peak)} at the peak ({', '.join(parts)})"


def size(count: int) -> str:
    """Bytes in words: "1.50 GiB", "20 MiB"."""
    return f"{count / GIB:.2f} GiB" if count > GIB / 10 else f"{count / 2**20:.0f} MiB"


def plan(model, profile: Profile, config, *, prompt: int, reply: int = 0, together: int = 1, reward=None) -> Plan:
    """What `rlhf(config, ...)`, `sft` or `train_reward` takes with weights that `profile.roles` made for `profile`.

    model: a transformers config. config: an RLHFConfig; or a SupervisedConfig: then reply is how many tokens of a text
    are the reply's, and 0 means a reward model, which reads `together` texts of one ranking at once. prompt: tokens of
    the longest prompt, or of the longest text. reward: the config of rlhf's reward model; None for a function.
    """
    text, samples = model.get_text_config(), hasattr(config, "max_new_tokens")
    key, half = _key(text), 4 if profile.half is None else profile.half.itemsize
    whole, trunk, adapter = _sizes(key, profile.lora_rank)
    numbers = chunk(profile.device) if samples or reply else 0
    if not numbers:  # no words are scored, only one place of each text
        whole, prompt = trunk, prompt - 1
    critic, reply = getattr(config, "advantages", "") == "gae", config.max_new_tokens if samples else max(1, reply)
    if profile.lora_rank:
        learn = adapter * (1 + critic)
        weights = whole * half + learn * 4
    else:
        learn = whole + trunk * critic
        weights = (whole * samples + learn) * 4  # the reference, and what learns
    own_copy = samples and profile.static_decode and profile.half is not None  # the sampler's
    weights += whole * half * own_copy
    weights += 0 if reward is None else _sizes(_key(reward.get_text_config()), 0)[1] * 4

    width, share = prompt + reply, -(-config.batch // getattr(config, "minibatches", 1))
    rows = profile.micro_tokens // (width * together) if profile.micro_tokens else config.micro_batch or share
    rows, alone = max(1, min(rows, share)), rows >= share
    kind = (profile.half, profile.lora_rank, profile.gradient_checkpointing)
    head = (numbers, bool(getattr(config, "entropy_coef", 0)), alone)
    one, two = (_dry_run(key, n, kind, (rows * together, prompt, reply), head) for n in (1, 2))
    kept, peak = (x + (y - x) * (text.num_hidden_layers - 1) for x, y in zip(one, two))  # each further like the second
    prefill = _dry_run(key, 1, kind, (config.batch, prompt, 0), head)[1] if samples else 0

    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    width *= getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    cache = 2 * text.num_hidden_layers * heads * width * config.batch * (half if own_copy else 4) * samples
    grows = cache * (not profile.static_decode)
    step = max(config.batch * text.vocab_size * 12 * samples, grows // text.num_hidden_layers // 2)
    later = grows * reply // (prompt + reply)
    sampler = max(prefill - later, step)  # keys and values of replies come after the prompts are read
    if alone:  # the only micro-batch: gradients are made while activations go, first the actor's, then the critic's
        update = max(peak, 4 * (learn - trunk * critic if not profile.lora_rank else learn) + kept, 4 * learn)
    else:
        update = 4 * learn + peak
    update += cache * profile.static_decode  # a graph's memory is its own for good
    learned = {"weights": weights, "gradients": 4 * learn, "optimizer": 8 * learn}
    passing = {"activations": kept, "logits": max(0, peak - kept), "cache": cache, "sampling": sampler}
    return Plan(**learned, **passing, peak=weights + 8 * learn + max(update, cache + sampler))


def fit(
    model, profile: Profile, config, *, prompt: int, reply: int = 0, together: int = 1, reward=None
) -> tuple[dict, Plan] | None:
    """The first settings with which the run fits into profile.memory: (changes, plan), or None. Arguments: of `plan`.

    From what costs only time to what changes the result: smaller micro-batches, activations computed twice, LoRA,
    fewer replies at a time. changes: of the profile's fields, and of `batch`; {} if it fits as it is.
    """
    width = (prompt + getattr(config, "max_new_tokens", reply)) * together
    tokens = profile.micro_tokens or (config.micro_batch or config.batch) * width
    half = {"micro_tokens": max(width, tokens // 2)}
    least = {"micro_tokens": max(width, tokens // 8), "gradient_checkpointing": True}
    steps = [{}, half, half | {"gradient_checkpointing": True}, least]
    if not profile.lora_rank:
        steps += [step | {"lora_rank": 16} for step in (half, least)]
    whole = [n for n in (2, 4, 8) if config.batch % (n * getattr(config, "replies", 1)) == 0]
    whole = [n for n in whole if config.batch // n >= max(2, getattr(config, "minibatches", 1))]  # else no such config
    steps += [steps[-1] | {"batch": config.batch // n} for n in whole if hasattr(config, "replies")]
    about = {"prompt": prompt, "reply": reply, "together": together, "reward": reward}
    for step in steps:
        changes = {name: x for name, x in step.items() if name != "batch"}
        smaller = replace(config, batch=step.get("batch", config.batch))
        made = plan(model, replace(profile, **changes), smaller, **about)
        if profile.memory is None or made.peak <= profile.memory - own(profile.memory):
            return step, made
    return None


def enough(model, profile: Profile, config, *, prompt: int, reply: int = 0, together: int = 1, reward=None) -> Plan:
    """The plan; ValueError, with its numbers and the nearest setting that fits, if there is less memory than that."""
    about = {"prompt": prompt, "reply": reply, "together": together, "reward": reward}
    made, found = (ask(model, profile, config, **about) for ask in (plan, fit))
    if found == ({}, made):
        return made
    how = "Nothing tried here fits: take a smaller model, or several GPUs"
    if found is not None:
        how = f"It fits with {', '.join(f'{name}={x}' for name, x in found[0].items())}: {found[1]}"
    kept = f"CUDA keeps about {size(own(profile.memory))} for itself"
    raise ValueError(f"this run needs {made}, and {size(profile.memory)} are there. {how}. {kept}")


def own(memory: int) -> int:
    """Bytes of a GPU's memory that no plan counts: what CUDA and its allocator keep for themselves."""
    return min(GIB, memory // 16)


def _key(config) -> str:
    """A config as text, which can be remembered."""
    return json.dumps({"model_type": config.model_type} | json.loads(config.to_json_string(use_diff=False)))


def _model(key: str, layers: int | None = None, dtype=torch.float32):
    fields = json.loads(key)
    config = AutoConfig.for_model(fields.pop("model_type"), **fields)
    if layers is not None:
        config.num_hidden_layers = layers
        if getattr(config, "layer_types", None):
            config.layer_types = config.layer_types[:layers]
    return AutoModelForCausalLM.from_config(config, dtype=dtype, trust_remote_code=False)


@lru_cache(maxsize=64)
def _sizes(key: str, rank: int) -> tuple[int, int, int]:
    """Numbers in the language model, in its trunk, and in one LoRA adapter of this rank."""
    with torch.device("meta"):
        model = _model(key)
    trunk = model.base_model
    adapter = sum(rank * sum(layer.weight.shape) for _, layer in adapted(model))
    return sum(p.numel() for p in model.parameters()), sum(p.numel() for p in trunk.parameters()), adapter


@lru_cache(maxsize=512)
def _dry_run(key: str, layers: int, kind: tuple, shape: tuple, head: tuple) -> tuple[int, int]:
    """Bytes above weights and gradients, kept forward and at the peak, through so many layers. No reply: no way back.

    head: numbers in a piece of the logits, 0 for a reward model; whether entropies are asked for; whether this is the
    only micro-batch, so that gradients are not there before, and count.
    """
    (half, rank, checkpointing), (rows, prompt, reply), (numbers, entropy, alone) = kind, shape, head
    with torch.device("meta"):
        model = actor = without_dropout(_model(key, layers, half if rank and half is not None else torch.float32))
        if rank:
            actor = views(model, rank=rank, critic=False)[0]
    if checkpointing:
        checkpoint_gradients(model)
        actor.train()
    with FakeTensorMode(allow_non_fake_inputs=True):
        model.to_empty(device="cpu")  # still without numbers, but on a device that computes in half precision
        for p in model.parameters():
            p.grad = torch.zeros_like(p) if p.requires_grad and not alone else None
        ids = torch.zeros(rows, prompt + reply, dtype=torch.long)
        computing = torch.autocast("cpu", dtype=half or torch.bfloat16, enabled=half is not None)
        with Counter(model) as counter, computing, torch.set_grad_enabled(reply > 0):
            counter.add([p.grad for p in model.parameters()])
            start = counter.now
            out = actor.base_model(input_ids=ids, use_cache=False)
            kept = counter.now - start
            if reply:
                hidden = out.last_hidden_state[:, -reply - 1 : -1].flatten(0, 1)
                if not numbers:
                    hidden.float().sum().backward()
                    return kept, counter.peak - start
                logp, entropies = of_actions(actor, hidden, ids[:, -reply:].flatten(), 1.0, entropy, numbers)
                (logp.sum() + (entropies.sum() if entropy else 0)).backward()
        return kept, counter.peak - start
