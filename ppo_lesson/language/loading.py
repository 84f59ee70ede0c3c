"""Models and tokenizers from a folder, or by name from the hub: whole, causal, and without running their code.

What transformers says in a table, and goes on, is refused here: a weight that is missing would be a random number, one
that nobody reads belongs to another model. Left out: quantised weights, adapters that were not merged.
"""

import contextlib
import json
import os
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor
from transformers import AutoConfig, AutoModel
from transformers.utils import cached_file, logging

from ..validate import read_toml, refusal, require

_READ = read_toml(__package__, "loading.toml")
REASONS, ADAPTERS, UNMERGED, TASKS, TWICE = (_READ[x] for x in ("reason", "adapters", "unmerged", "tasks", "twice"))
NUMBERS = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}  # of safetensors
FINE = torch.float32, torch.float64  # what sums are made in, too


def without_code(kind, folder, given: dict | None = None):
    """kind.from_pretrained(folder, **given); ValueError where that would need Python code which came with the model.

    kind: one of transformers' Auto classes. transformers would ask in a terminal, and run it after a "y".
    """
    try:
        return kind.from_pretrained(folder, trust_remote_code=False, **(given or {}))
    except Exception as error:
        if "trust_remote_code" in str(error):
            raise ValueError(refusal("model", "brings code", folder)) from error
        raise ValueError(f"{folder}: {_why(error, str(folder)) or refusal('model', 'not built', error)}") from error


def load_complete(kind, folder, *, dtype=torch.float32):
    """A model of this Auto class, all of whose weights come from its files; not yet looked at otherwise.

    ValueError that names the weights if some are missing (tied ones are not), or if the trunk has no use for some: both
    are another model than the one that was trained; and for a critic or a reward model in the place of a language
    model: its trunk would do for one, and be none. Of other heads, which are not used, there is a warning.
    """
    _refuse_adapter(folder)
    twice = [(Path(folder) / name).exists() for name in TWICE]
    require(not all(twice), ValueError, "model", "twice", folder, *TWICE)
    trunk = kind is AutoModel  # is all that a critic or a reward model wants
    require(trunk or not (Path(folder) / "head.safetensors").exists(), ValueError, "model", "has a number", folder)
    config = without_code(AutoConfig, folder)
    if wrong := [name for name in config.architectures or () if name.endswith(tuple(TASKS)) and not trunk]:
        raise ValueError(refusal("model", "classifies", folder, wrong[0]))
    require(not (how := getattr(config, "quantization_config", None)), ValueError, "model", "quantised", folder, how)
    if (path := Path(folder) / "generation_config.json").exists():
        json.loads(path.read_text("utf-8"))  # transformers passes over a broken one, and its ends with it
    config._attn_implementation = None  # how its authors' machine computed attention; a name of the hub there is code
    said = logging.get_verbosity()
    logging.set_verbosity_error()  # without transformers' table of what is refused, or warned about, below
    try:
        model, found = without_code(kind, folder, {"config": config, "dtype": dtype, "output_loading_info": True})
    finally:
        logging.set_verbosity(said)
    model = with_trunk(model)
    _refuse_adapter(folder, model)
    _refuse_codes(folder, model, found["unexpected_keys"])
    named = dict(model.named_parameters(remove_duplicate=False)) | dict(model.named_buffers(remove_duplicate=False))
    loaded = {id(x) for name, x in named.items() if name not in found["missing_keys"]}
    missing = [name for name in sorted(found["missing_keys"]) if id(named.get(name)) not in loaded]
    broken = [name for name, x in model.named_parameters() if not x.isfinite().all()]
    what, says = type(model).__name__, ", ".join(config.architectures or ["nothing"])
    require(not missing, ValueError, "model", "lacks", folder, _some(missing), what, says)
    require(not broken, ValueError, "model", "no numbers", folder, _some(broken))
    inside = {name for part in (model, model.base_model) for name, _ in part.named_children()}
    others = {x: x.removeprefix(f"{model.base_model_prefix}.") for x in sorted(found["unexpected_keys"])}
    wrong = [x for x, name in others.items() if name.split(".")[0] in inside or any(sign in x for sign in UNMERGED)]
    require(not wrong, ValueError, "model", "holds more", folder, _some(wrong), what)
    if others and model is not model.base_model:  # a trunk is without its head by intention
        warnings.warn(f"{folder} holds {_some([*others])}, which a {what} does not use", stacklevel=3)
    return model


def with_trunk(model):
    """The model, with its trunk as base_model; Llama 4 and older Gemma 3 name one that they lack, and so themselves."""
    if model.base_model is model and model.get_output_embeddings() is not None and hasattr(model, "model"):
        model.base_model_prefix = "model"
    return model


@contextlib.contextmanager
def examined(folder, model) -> Iterator[None]:
    """What is asked of a model before it is used: without gradients; what it cannot do is a ValueError, by name."""
    try:
        with torch.no_grad():
            yield
    except Exception as error:
        if str(error).startswith(f"{folder}: "):
            raise
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(refusal("model", "not to be trained", folder, type(model).__name__, why)) from error


def rounding(model, dtype: torch.dtype | None = None) -> float:
    """How far results of the model may differ by rounding, as a share of their size, where the order of sums differs.

    In each layer some 8 results are rounded one after the other, and each is a sum of about as many terms as the model
    is wide. dtype: of its weights, if not that of the first.
    """
    text, dtype = model.config.get_text_config(), dtype or next(model.parameters()).dtype
    steps = 8 * (text.num_hidden_layers + 1)
    exact = steps * text.hidden_size**0.5 * torch.finfo(dtype if dtype in FINE else torch.float32).eps
    return exact + (0.0 if dtype in FINE else 2 * steps**0.5 * torch.finfo(dtype).eps)  # halves: of each result, once


def refuse_a_look_ahead(folder, model, numbers: Callable[[Tensor], Tensor]) -> None:
    """ValueError if the last token changes what the model says at earlier places, or if that is not finite.

    numbers: ids (1, L) -> (L, n), logits or hidden states. They may differ by `rounding`.
    """
    size = model.config.get_text_config().vocab_size
    ids = torch.arange(8).remainder(size)[None]
    other = torch.cat([ids[:, :-1], (ids[:, -1:] + 1) % size], -1)
    first, second = (numbers(x)[:-1].double() for x in (ids, other))
    require(first.isfinite().all(), ValueError, "model", "not finite", folder, type(model).__name__)
    moved = (first - second).abs().max().item()
    if not moved <= rounding(model) * first.abs().max().item():
        raise ValueError(refusal("model", "looks ahead", folder, type(model).__name__, moved))


def _refuse_adapter(folder, model=None) -> None:
    there = [name for name in ADAPTERS if (Path(folder) / name).exists()]
    there = there or ADAPTERS[:1] * getattr(model, "_hf_peft_config_loaded", False)  # from the hub
    require(not there, ValueError, "model", "adapter", folder, ", ".join(there))


def _refuse_codes(folder, model, unused: set[str]) -> None:
    """ValueError if a weight is stored as whole numbers or in 8 bits: transformers takes them for weights, silently."""
    root, stored = Path(cached_file(folder, "config.json")).parent, {}
    for file in root.glob("model*.safetensors"):
        with safe_open(file, framework="pt") as weights:
            stored |= {name: weights.get_slice(name).get_dtype() for name in weights.keys()}  # noqa: SIM118 (no dict)
    for file in root.glob("pytorch_model*.bin") if not stored else ():
        weights = torch.load(file, map_location="meta", weights_only=True)
        stored |= {name: NUMBERS.get(x.dtype, str(x.dtype)) for name, x in weights.items() if isinstance(x, Tensor)}
    spare = [*unused, *(name for name, _ in model.named_buffers())]
    ignored = [*(getattr(model, "_keys_to_ignore_on_load_unexpected", None) or ()), *map(re.escape, spare)]
    codes = [x for x, how in stored.items() if how not in NUMBERS.values()]
    codes = [x for x in codes if not any(re.search(known, x) for known in ignored)]
    require(not codes, ValueError, "model", "codes", folder, _some(codes), stored[codes[0]] if codes else "")


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"the weight{'s' * (len(names) > 1)} {shown}"


def load_or_explain(load, name):
    """load(name); if that fails, a ValueError that says in a sentence why, and what to do.

    load: `load_language_model`, `load_tokenizer` or `ScalarModel.load`. What is told apart stands in loading.toml.
    """
    try:
        return load(name)
    except Exception as error:
        if not str(error).startswith(f"{name}: ") and (why := _why(error, str(name))):
            raise ValueError(f"{name}: {why}") from error
        raise


def _why(error: BaseException, name: str) -> str:
    """What went wrong, from the error and those behind it; "" if it speaks for itself."""
    path, kinds, text = Path(name).expanduser(), set(), ""
    first = (str(error).strip() or type(error).__name__).splitlines()[0].split(" for this kind")[0]
    facts = {"name": name, "first": first}
    while error is not None:
        kinds, text = kinds | {kind.__name__ for kind in type(error).__mro__}, f"{text} {error}"
        error = error.__cause__ or error.__context__
    if here := path.is_dir():
        if not any((path / file).exists() for file in ("config.json", "tokenizer_config.json", *ADAPTERS)):
            kinds.add("no model")
        for file in path.glob("*.json"):
            try:
                json.loads(file.read_text("utf-8"))
            except ValueError as broken:
                kinds, facts = kinds | {"broken file"}, facts | {"file": file.name, "broken": broken}
    elif name.startswith((".", "~", os.sep)) or "\\" in name or name.count("/") > 1:
        kinds.add("no folder")
    for reason in REASONS:
        found = kinds & {*reason.get("kinds", ())} or any(words in text for words in reason.get("words", ()))
        if found and not (here and reason.get("hub")):
            return reason["says"].format(**facts)
    return ""
