"""The models of RLHF: a language model, and the same trunk with one number per token, for values and for rewards."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModel, AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM
from transformers.utils.logging import disable_progress_bar

from .sampling import hidden_states, token_logps

disable_progress_bar()  # of loading weights, which takes no time here


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


def load_language_model(folder, *, dtype=torch.float32):
    """Any causal language model from a folder or, by name, from the hub. In eval mode, without dropout.

    ValueError if the model does something to its logits that `sampling.token_logps` does not know.
    """
    model = without_dropout(AutoModelForCausalLM.from_pretrained(folder, dtype=dtype))
    ids = torch.arange(8).remainder(model.config.get_text_config().vocab_size)[None]
    with torch.no_grad():
        own = model(input_ids=ids).logits[0, :-1].float().log_softmax(-1).gather(-1, ids[0, 1:, None])[:, 0]
        ours = token_logps(model, ids, torch.ones_like(ids), 7)[0]
    error = (own - ours).abs().max().item()
    if not error <= (1e-3 if dtype == torch.float32 else 0.1):
        raise ValueError(
            f"{folder}: log-probabilities from the model's last hidden state and head are {error:.3g} nats away from "
            f"its own. A {type(model).__name__} changes its logits in a way that sampling.token_logps must learn first"
        )
    return model


def without_dropout(model: nn.Module) -> nn.Module:
    """The model with every dropout at 0, in eval mode: the same input must give the same log-probability."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name, x in vars(module).items():
            if "dropout" in name and isinstance(x, float):  # for example LlamaAttention.attention_dropout
                setattr(module, name, 0.0)
    return model.eval()


class ScalarModel(nn.Module):
    """A transformer trunk with a linear head of one number per token: a critic, or a reward model.

    model(ids, attention_mask, position_ids) -> (B, L) float32, (number - mean) / std; mean 0 and std 1 until
    `reward.normalize` sets them.
    """

    def __init__(self, trunk: nn.Module, *, init_std: float):
        super().__init__()
        self.trunk, self.config = trunk, trunk.config
        self.head = nn.Linear(trunk.config.hidden_size, 1, bias=False)
        nn.init.normal_(self.head.weight, std=init_std) if init_std else nn.init.zeros_(self.head.weight)
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("std", torch.ones(()))
        without_dropout(self)

    @classmethod
    def critic(cls, language_model) -> ScalarModel:
        """Values: a copy of the model's trunk, head 0, so that every value is 0 at first (Ziegler et al. 2019)."""
        return cls(copy.deepcopy(language_model.base_model), init_std=0.0)

    @classmethod
    def reward(cls, language_model, *, seed: int = 0) -> ScalarModel:
        """Scores: a copy of the trunk, head normal with variance 1/(d + 1) (Stiennon et al. 2020)."""
        trunk = copy.deepcopy(language_model.base_model)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(trunk, init_std=(trunk.config.hidden_size + 1) ** -0.5)

    def forward(self, ids: Tensor, attention_mask: Tensor, position_ids: Tensor) -> Tensor:
        hidden = hidden_states(self.trunk, ids, attention_mask)
        with torch.autocast(hidden.device.type, enabled=False):  # half precision would round the number itself
            return (self.head(hidden.float())[..., 0] - self.mean) / self.std

    def save(self, folder) -> None:
        """An ordinary Hugging Face folder of the trunk, and head.safetensors beside it."""
        self.trunk.save_pretrained(folder)
        head = {"weight": self.head.weight.detach(), "mean": self.mean, "std": self.std}
        save_file(head, Path(folder) / "head.safetensors")

    @classmethod
    def load(cls, folder) -> ScalarModel:
        """What `save` wrote. ValueError if the folder holds no head."""
        path, config = Path(folder) / "head.safetensors", Path(folder) / "config.json"
        if not path.exists():
            holds = json.loads(config.read_text("utf-8")).get("architectures") if config.exists() else "no model at all"
            raise ValueError(f"{folder} has no head.safetensors: it holds {holds}, not a critic or reward model")
        model = cls(AutoModel.from_pretrained(folder, dtype=torch.float32), init_std=0.0)
        head = load_file(path)
        model.head.weight.data.copy_(head["weight"])
        model.mean.copy_(head["mean"])
        model.std.copy_(head["std"])
        return model
