"""The models of RLHF: a language model, and the same trunk with one number per token, for values and for rewards."""

import copy
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Self

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import AutoModel, AutoModelForCausalLM
from transformers.utils.logging import disable_progress_bar

from ..hardware.rights import give_rights
from ..validate import read_toml, require
from .loading import NUMBERS, examined, load_complete, refuse_a_look_ahead, rounding
from .sampling import full_mask, generate, hidden_states, response_mask, token_logps

disable_progress_bar()  # of loading weights, which takes no time here


def load_language_model(folder, *, dtype=torch.float32):
    """Any causal language model from a folder or, by name, from the hub. In eval mode, without dropout.

    ValueError for what `loading` refuses, for weights that are no numbers, if the model does something to its logits
    that `sampling.token_logps` does not know, and if `generate` samples from another distribution than that one.
    """
    model = without_dropout(load_complete(AutoModelForCausalLM, folder, dtype=dtype))
    with examined(folder, model):
        refuse_a_look_ahead(folder, model, lambda ids: model(input_ids=ids).logits[0])
        ids = torch.arange(8).remainder(model.config.get_text_config().vocab_size)[None]
        own = model(input_ids=ids).logits[0, :-1].float().log_softmax(-1).gather(-1, ids[0, 1:, None])[:, 0]
        error = (own - token_logps(model, ids, torch.ones_like(ids), 7)[0]).abs().max().item()
        limit = 1e-3 if model.dtype == torch.float32 else 0.1
        require(error <= limit, ValueError, "model", "other logits", folder, error, type(model).__name__)
        noise = (model.train()(input_ids=ids).logits - model.eval()(input_ids=ids).logits).abs().max().item()
        require(noise <= limit, ValueError, "model", "noisy", folder, type(model).__name__, noise)
        error, allowed = sampling_error(model, generate)
        require(error <= allowed, ValueError, "model", "another sampler", folder, type(model).__name__, error)
    return model


@torch.no_grad()
def sampling_error(model, sample: Callable) -> tuple[float, float]:
    """How far log-probabilities of sampled tokens are from those of one pass, in nats, and how far they may be.

    sample: `generate`, or what does the same. Three prompts, padded on the left, one of whose replies ends at once.
    """
    size, where = model.config.get_text_config().vocab_size, device(model)
    ids = torch.arange(12, device=where).remainder(size).view(3, 4)
    mask = torch.arange(4, device=where) >= torch.tensor([[2], [0], [1]], device=where)
    about = {"max_new_tokens": 4, "pad_id": 0, "return_logps": True}
    u = torch.tensor([[1e-6], [0.5], [1 - 1e-6]], dtype=torch.float64, device=where)  # from both ends of the vocabulary
    first = int(sample(model, ids, mask, eos_id=size, uniforms=u.expand(3, 4), **about)[0][0, 4])
    out, sampled = sample(model, ids, mask, eos_id=first, uniforms=u.expand(3, 4), **about)
    scored = token_logps(model, out, full_mask(mask, response_mask(out[:, 4:], first)), 4)
    allowed = rounding(model, model.get_output_embeddings().weight.dtype) * max(1.0, sampled.abs().max().item())
    return (scored - sampled).abs().max().item(), allowed


def without_dropout(model: nn.Module) -> nn.Module:
    """The model with every dropout at 0, in eval mode: the same input must give the same log-probability."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name, x in vars(module).items():
            if ("dropout" in name or "jitter" in name) and isinstance(x, float):  # attention_dropout of Llamas
                setattr(module, name, 0.0)
    return model.eval()


def device(model) -> torch.device:
    """Where the model's numbers are."""
    return next(model.parameters()).device


def checksum(model: nn.Module, *, frozen: bool = False) -> int:
    """Of a model's config and all weights, those below a LoRA view included; frozen: only those that do not learn."""
    about = model.config.to_dict() if hasattr(model, "config") else {}
    found = zlib.crc32(repr(sorted((name, str(x)) for name, x in about.items() if name not in UNCOUNTED)).encode())
    for part in (model, *(x for module in model.modules() for x in getattr(module, "whole", ()))):
        for name, x in part.state_dict(keep_vars=True).items():
            if not x.requires_grad or (part is model and not frozen):
                numbers = x.detach().cpu().reshape(-1).view(torch.uint8).numpy()
                found = zlib.crc32(numbers, zlib.crc32(name.encode(), found))
    return found


KINDS, UNCOUNTED = (read_toml(__package__, "loading.toml")[name] for name in ("kinds", "uncounted"))


class ScalarModel(nn.Module):
    """A transformer trunk with a linear head of one number per token. kind: "critic" or "reward".

    model(ids, attention_mask, position_ids) -> (B, L) float32, (number - mean) / std; mean 0 and std 1 until
    `reward.normalize` sets them.
    """

    def __init__(self, trunk: nn.Module, *, init_std: float, kind: str = "reward"):
        super().__init__()
        self.kind, self.trunk, self.config = kind, trunk, trunk.config
        self.head = nn.Linear(_width(trunk.config), 1, bias=False)
        nn.init.normal_(self.head.weight, std=init_std) if init_std else nn.init.zeros_(self.head.weight)
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("std", torch.ones(()))
        without_dropout(self)

    @classmethod
    def critic(cls, language_model) -> Self:
        """Values: a copy of the model's trunk, head 0, so that every value is 0 at first (Ziegler et al. 2019)."""
        return cls(copy.deepcopy(language_model.base_model), init_std=0.0, kind="critic")

    @classmethod
    def reward(cls, language_model, *, seed: int = 0) -> Self:
        """Scores: a copy of the trunk, head normal with variance 1/(d + 1) (Stiennon et al. 2020)."""
        trunk = copy.deepcopy(language_model.base_model)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(trunk, init_std=(_width(trunk.config) + 1) ** -0.5)

    def forward(self, ids: Tensor, attention_mask: Tensor, position_ids: Tensor) -> Tensor:
        hidden = hidden_states(self.trunk, ids, attention_mask)
        with torch.autocast(hidden.device.type, enabled=False):  # half precision would round the number itself
            return (self.head(hidden.float())[..., 0] - self.mean) / self.std

    def save(self, folder) -> None:
        """An ordinary Hugging Face folder of the trunk, and head.safetensors beside it, which also says the kind."""
        self.trunk.save_pretrained(folder)
        head = {"weight": self.head.weight.detach(), "mean": self.mean, "std": self.std}
        save_file(head, Path(folder) / "head.safetensors", metadata={"kind": self.kind})
        give_rights(folder)

    @classmethod
    def load(cls, folder, *, kind: str | None = None) -> Self:
        """What `save` wrote. kind: what it must be; older folders do not say, and may be either.

        ValueError if the folder holds no head, another kind of model, or a trunk that `loading` refuses.
        """
        path, config = Path(folder) / "head.safetensors", Path(folder) / "config.json"
        if not path.exists():
            holds = json.loads(config.read_text("utf-8")).get("architectures") if config.exists() else "no model at all"
            raise ValueError(f"{folder} has no head.safetensors: it holds {holds}, not a critic or reward model")
        with safe_open(path, framework="pt") as file:
            said = (file.metadata() or {}).get("kind")
            head = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        if kind and said and said != kind:
            raise ValueError(f"{folder} holds a {KINDS[said]}, where a {KINDS[kind]} is wanted")
        model = cls(load_complete(AutoModel, folder), init_std=0.0, kind=said or kind or "reward")
        own = {"weight": model.head.weight.data, "mean": model.mean, "std": model.std}
        found = {name: (x.shape, x.dtype in NUMBERS) for name, x in head.items()}
        if found != {name: (x.shape, True) for name, x in own.items()}:
            raise ValueError(f"{path} does not fit the trunk beside it: take the folder as `save` wrote it")
        for name, x in own.items():
            x.copy_(head[name])
        with examined(folder, model.trunk):
            refuse_a_look_ahead(folder, model.trunk, lambda ids: hidden_states(model.trunk, ids, torch.ones(1, 8))[0])
        return model


def _width(config) -> int:
    """Numbers in a last hidden state; OPT-350m projects them to the width of its embeddings."""
    text = config.get_text_config()
    return getattr(text, "word_embed_proj_dim", None) or text.hidden_size


class Models(NamedTuple):
    """The four of RLHF: two that learn, two that never do.

    actor, reference: causal language models. critic: a `ScalarModel`, or None with advantages="group". reward: a
    `ScalarModel`, or any function (prompt, reply) -> number.
    """

    actor: nn.Module
    critic: ScalarModel | None
    reference: nn.Module
    reward: ScalarModel | Callable[[str, str], float]
