"""Actor, reference and critic in one: a frozen language model, seen through one LoRA adapter, another, or none.

    actor, critic, reference = views(model, rank=16)
    actor.save_pretrained("folder")        # an ordinary model, adapter merged into its weights
    actor.save_adapter("another")          # the adapter alone, for peft

LoRA (Hu et al. 2021): W x becomes W x + (alpha / rank) B A x, only A and B learn, B starts at 0. The layers are peft's;
a `View` has what `token_logps`, `generate` and `ScalarModel` ask of a model. Left out: adapters on embeddings.
"""

import warnings
from pathlib import Path
from typing import Self

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from .. import validate
from ..language.models import ScalarModel, without_dropout
from .rights import give_rights


class View(nn.Module):
    """`model` with one adapter ("actor", "critic"), or None: as it was. Its parameters are this adapter's, and no more.

    The adapter stays chosen after a forward pass, since the backward pass may compute parts of it again: go back
    through one view before you go forward through another.
    """

    def __init__(self, model, adapter: str | None):
        super().__init__()
        self.config, self.generation_config, self.adapter = model.config, model.generation_config, adapter
        self.whole = [model]  # the list hides it from parameters()
        self.names = [] if adapter is None else [n for n, _ in model.named_parameters() if f".{adapter}." in n]
        self.own = nn.ParameterList([model.get_parameter(name) for name in self.names])
        self.layers = [m for m in model.modules() if hasattr(m, "set_adapter") and hasattr(m, "lora_A")]
        self.eval()

    @property
    def base_model(self) -> Self:
        """The trunk, as a language model has it."""
        return self

    def forward(
        self, input_ids, attention_mask=None, position_ids=None, past_key_values=None, cache=None, use_cache=None
    ):
        """The trunk's output through this view's adapter."""
        first = self.layers[0]
        if first.disable_adapters != (self.adapter is None) or first.active_adapters != [self.adapter]:
            for layer in self.layers:
                layer.enable_adapters(self.adapter is not None)
                if self.adapter is not None:
                    layer.set_adapter(self.adapter)  # peft takes the gradients of all other adapters away here ...
            _let_learn(self.whole[0])  # ... and they come back here, for both learn in one update
        given = {"attention_mask": attention_mask, "position_ids": position_ids, "use_cache": use_cache}
        caches = {"past_key_values": past_key_values, "cache": cache}  # `sampling.cache_name` says by which it goes
        given |= {name: x for name, x in caches.items() if x is not None}
        return self.whole[0].base_model(input_ids=input_ids, **given)

    def get_output_embeddings(self):
        """The head, which is shared and has no adapter."""
        return self.whole[0].get_output_embeddings()

    def train(self, mode: bool = True) -> Self:
        """Of the whole model: gradient checkpointing asks for it."""
        self.whole[0].train(mode)
        return super().train(mode)

    @torch.no_grad()
    def merged(self) -> dict[str, Tensor]:
        """Weights of the ordinary model that computes the same: each W + (alpha / rank) B A, under its usual name."""
        weights = {}
        for name, p in self.whole[0].named_parameters():
            if ".lora_" not in name:
                weights[name.replace(".base_layer.", ".")] = p.detach()
        modules = {} if self.adapter is None else dict(self.whole[0].named_modules())
        for name, layer in modules.items():
            if layer in self.layers:
                w = weights[f"{name}.weight"]
                weights[f"{name}.weight"] = (w.float() + layer.get_delta_weight(self.adapter).float()).to(w.dtype)
        return weights

    def save_pretrained(self, folder) -> None:
        """An ordinary folder, which `AutoModelForCausalLM.from_pretrained` loads."""
        with torch.device("meta"):
            plain = type(self.whole[0])(self.config)
        plain.generation_config = self.generation_config
        plain.save_pretrained(folder, state_dict={name: x.contiguous().clone() for name, x in self.merged().items()})

    def save_adapter(self, folder) -> None:
        """The adapter alone; `peft.PeftModel.from_pretrained(model, folder)` puts it onto its model again."""
        self.whole[0].peft_config[self.adapter].save_pretrained(folder)
        names = [f"base_model.model.{name.replace(f'.{self.adapter}.', '.')}" for name in self.names]
        weights = {name: p.detach().contiguous() for name, p in zip(names, self.own)}
        save_file(weights, Path(folder) / "adapter_model.safetensors", metadata={"format": "pt"})
        give_rights(folder)


def _let_learn(model) -> None:
    for name, p in model.named_parameters():
        p.requires_grad_(".lora_" in name)


def adapted(model) -> list[tuple[str, nn.Module]]:
    """(name, layer) of all that get an adapter: every linear layer but the head."""
    kinds, head = ("Linear", "Conv1D"), model.get_output_embeddings()
    named = list(model.named_modules())
    return [(name, m) for name, m in named if m is not head and any(k.__name__ in kinds for k in type(m).__mro__)]


def views(model, *, rank: int, seed: int = 0, critic: bool = True) -> tuple[View, ScalarModel | None, View]:
    """(actor, critic, reference) of a language model that is frozen and given adapters, in place; alpha = 2 x rank.

    Adapters are float32, whatever the model is. All three say the same at first: B is 0, and so is the critic's head.
    """
    with validate.refusing(ImportError, ModuleNotFoundError, "machine", "no peft"):
        from peft import LoraConfig, inject_adapter_in_model
    validate.integer("lora_rank", rank, 1, model.config.get_text_config().hidden_size)
    head = model.get_output_embeddings()
    linear = [name for name, _ in adapted(model)]
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a second adapter, and of GPT-2's transposed weights: both are meant
        torch.manual_seed(seed)
        for adapter in ("actor", "critic") if critic else ("actor",):
            about = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=linear)
            inject_adapter_in_model(about, model, adapter)
    for name, p in model.named_parameters():
        if ".lora_" in name:
            p.data = p.data.float()
    _let_learn(model)
    without_dropout(model)
    scores = ScalarModel(View(model, "critic"), init_std=0.0, kind="critic").to(head.weight.device) if critic else None
    return View(model, "actor"), scores, View(model, None)
