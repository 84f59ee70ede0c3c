"""One model over several processes: each keeps its part of every layer's weights, gradients and moments.

    accelerate launch --use_fsdp -m ppo_lesson rlhf ...     (or torchrun, with ACCELERATE_USE_FSDP=true)
    shard(actor, processes)                  # in place; `rlhf` does it to its models, if nobody has
    model = whole(actor, processes)          # an ordinary model again, in the first process

torch's FSDP2 gathers a layer's weights just before they are used. Embeddings, the last norm, the head and the reward
model stay whole in every process, and each reads the whole model from disk before it is cut. Of accelerate's settings
two count: whether to shard, and FSDP_RESHARD_AFTER_FORWARD=false, with which weights are gathered once for a whole
rollout, not for every token, and need the room meanwhile. Left out: LoRA, float16, CUDA graphs, weights that wait in
the CPU's memory. Tested with two processes on a CPU; written without GPUs.
"""

from __future__ import annotations

import os
import warnings

import torch
from torch import Tensor, nn
from transformers import AutoModel, AutoModelForCausalLM

from .models import ScalarModel, without_dropout
from .processes import Processes, is_cut


def shard(model, processes: Processes):
    """Cut the layers of a language model or `ScalarModel`, in place; all processes get the first one's weights.

    Each layer moves to the processes' device before it is cut, so that no GPU ever holds all of them. Returns the
    model; as it was, unless processes.sharded. ValueError for a model with LoRA, or without a list of layers.
    """
    if model is None or not processes.sharded or any(map(is_cut, model.parameters())):
        return model
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FSDPModule, fully_shard

    if not hasattr(FSDPModule, "set_force_sum_reduction_for_comms"):
        raise ValueError(f"sharding needs a newer PyTorch than {torch.__version__}; or start without --use_fsdp")
    device, layers = torch.device(processes.device or "cpu"), _layers(_trunk(model))
    inside = {p for layer in layers for p in layer.parameters()}
    outside = {p for p in model.parameters() if p not in inside}
    how = {
        "mesh": init_device_mesh(device.type, (processes.size,)),
        "reshard_after_forward": os.environ.get("FSDP_RESHARD_AFTER_FORWARD", "true").lower() != "false",
    }
    for x in (*model.buffers(), *(p for p in model.parameters() if p in outside)):
        x.data = x.data.to(device)
    processes.same([p for p in model.parameters() if p in outside])
    for layer in layers:
        processes.same([*layer.to(device).parameters()])
        fully_shard(layer, **how)
        layer.set_gradient_divide_factor(1.0)  # our losses have the denominators of the whole batch: gradients add up
        layer.set_force_sum_reduction_for_comms(True)
    warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view")  # GPT-2 does; nobody writes into it
    fully_shard(_trunk(model), ignored_params=outside, **how)  # has no weights of its own: the layers work together
    return model


def fold(*models) -> None:
    """Let go of weights that stayed gathered after a forward pass, so that only each process's parts are left."""
    for model in models:
        for module in () if model is None else model.modules():
            if hasattr(module, "reshard"):
                module.reshard()


@torch.no_grad()
def gather(tensors: dict[str, Tensor], processes: Processes) -> dict[str, Tensor] | None:
    """All tensors whole, on the CPU, in the first process; None in the others. One at a time; all must ask."""
    found = {}
    for name, x in tensors.items():
        x = x.full_tensor() if is_cut(x) else x
        if processes.first:
            found[name] = x.detach().cpu()
    return found if processes.first else None


@torch.no_grad()
def put(x: Tensor, values: Tensor) -> None:
    """x takes these values: all of them, or this process's part."""
    if is_cut(x):
        parts = values.chunk(x.device_mesh.size())  # rows, as torch cuts them; the last processes may get none
        rank, x = x.device_mesh.get_local_rank(), x.to_local()
        values = parts[rank] if rank < len(parts) else values[:0]
    x.copy_(values)


def whole(model, processes: Processes):
    """An ordinary model with these weights, on the CPU, in the first process; None in the others. All must ask.

    A model that is not cut comes back as it is.
    """
    if model is None or not any(map(is_cut, model.parameters())):
        return model
    weights = gather(model.state_dict(), processes)
    if weights is None:
        return None
    with torch.device("meta"):
        if isinstance(model, ScalarModel):
            plain = ScalarModel(AutoModel.from_config(model.config), init_std=0.0)
        else:
            plain = AutoModelForCausalLM.from_config(model.config)
            plain.generation_config = model.generation_config
    plain.load_state_dict(weights, assign=True)
    if hasattr(plain, "tie_weights"):
        plain.tie_weights()
    for name, x in model.named_buffers():  # angles, say, which no state_dict has
        place, _, key = name.rpartition(".")
        setattr(plain.get_submodule(place), key, x.cpu())
    return without_dropout(plain)


def apart(optimizer) -> None:
    """Whole and cut parameters into groups of their own: a fused kernel does not take both together."""
    (group,) = optimizer.param_groups
    kinds = [[p for p in group["params"] if is_cut(p) == cut] for cut in (False, True)]
    optimizer.param_groups = [group | {"params": some} for some in kinds if some]


def _trunk(model) -> nn.Module:
    return model.trunk if isinstance(model, ScalarModel) else model.base_model


def _layers(trunk) -> list[nn.Module]:
    """The transformer's layers, which stand in a list."""
    if hasattr(trunk, "adapter"):
        raise ValueError("LoRA is not sharded: take --lora-rank 0 (Profile.lora_rank=0), or leave --use_fsdp out")
    count = trunk.config.get_text_config().num_hidden_layers
    found = [m for m in trunk.modules() if isinstance(m, nn.ModuleList) and len(m) == count]
    if not found:
        raise ValueError(f"{type(trunk).__name__} has no list of {count} layers to shard: start without --use_fsdp")
    return [*found[0]]
