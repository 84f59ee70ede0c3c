"""From a laptop to a large GPU: what a run computes in, which weights learn, and how much of it fits at a time.

    profile = choose("auto")                     # cpu | t4 | gpu, by what this machine can do
    print(banner(profile))
    actor, critic, reference = roles(language_model, profile)
    rlhf(config, Models(actor, critic, reference, reward), prompts, tokenizer=tokenizer, hardware=Hardware(profile))

Weights that learn are float32 always, and so is every log-softmax; matrices are multiplied in half precision on a GPU.
Left out: 8-bit optimizers, quantised weights, kernels of our own. CUDA paths were written without a GPU.
"""

import copy
from dataclasses import dataclass
from shutil import which

import torch

from ..language.models import ScalarModel, without_dropout
from ..validate import require
from .lora import views

GIB = 2**30
MEND = "Update its driver, or install the torch for the driver that is there: https://pytorch.org/get-started/locally"


@dataclass(frozen=True)
class Machine:
    """What decides: the first CUDA GPU's name, compute capability and bytes; None without one, and why it is none."""

    gpu: str | None = None
    capability: tuple[int, int] = (0, 0)
    memory: int | None = None
    missing: str = "there is no CUDA GPU"


@dataclass(frozen=True)
class Profile:
    """How a run uses its machine; every field can be set in `choose`.

    half: what matrices are multiplied in, and what LoRA's base is stored in; None: float32. loss_scaling: for float16,
    whose smallest numbers are not small. lora_rank: 0 trains all weights. micro_tokens: tokens in memory at a time,
    with their padding, in place of RLHFConfig.micro_batch rows. static_decode: replies come from a CUDA graph over a
    cache of fixed size. memory: bytes that may be used, None if unknown.
    """

    name: str = "cpu"
    why: str = "there is no CUDA GPU"
    device: str = "cpu"
    half: torch.dtype | None = None
    loss_scaling: bool = False
    lora_rank: int = 0
    gradient_checkpointing: bool = False
    micro_tokens: int | None = None
    static_decode: bool = False
    memory: int | None = None

    def autocast(self):
        """The context of every forward pass; float32 weights meet half matrices here, and nowhere else."""
        kind = torch.device(self.device).type
        return torch.autocast(kind, dtype=self.half or torch.bfloat16, enabled=self.half is not None)

    def scaler(self):
        """Multiplies losses so that float16 gradients are not rounded to 0; does nothing unless loss_scaling."""
        return torch.amp.GradScaler(torch.device(self.device).type, enabled=self.loss_scaling)


def machine() -> Machine:
    """This machine. A T4 says that it supports bfloat16, which it only imitates: its capability says what is true."""
    if not torch.cuda.is_available():
        try:
            torch.cuda.init()  # which says why: is_available warns, of a driver that is too old, and only once
        except (RuntimeError, AssertionError) as error:
            why, there = str(error).partition(". Please")[0], which("nvidia-smi") is not None
            none = any(words in why for words in ("no NVIDIA driver", "No CUDA GPUs")) or not there
            return Machine() if none else Machine(missing=f"torch cannot use this GPU ({why}). {MEND}")
        return Machine()
    gpu = torch.cuda.get_device_properties(torch.cuda.current_device())
    return Machine(gpu.name, (gpu.major, gpu.minor), gpu.total_memory)


def choose(
    name: str = "auto",
    on: Machine | None = None,
    *,
    device="auto",
    half="auto",
    loss_scaling="auto",
    lora_rank="auto",
    gradient_checkpointing="auto",
    micro_tokens="auto",
    static_decode="auto",
    memory="auto",
) -> Profile:
    """The profile `name` (auto, cpu, t4, gpu) for this machine; a field that is named here gets that value.

    auto: gpu from compute capability 8.0 on (bfloat16), t4 below it (float16), cpu without CUDA. ValueError for a GPU
    profile where there is no GPU.
    """
    fields = {"device": device, "half": half, "loss_scaling": loss_scaling, "lora_rank": lora_rank}
    fields |= {"gradient_checkpointing": gradient_checkpointing, "micro_tokens": micro_tokens}
    fields |= {"static_decode": static_decode, "memory": memory}
    changes = {field: x for field, x in fields.items() if not (isinstance(x, str) and x == "auto")}
    on = on or machine()
    require(name in ("auto", "cpu", "t4", "gpu"), ValueError, "machine", "no profile", name)
    why = "there is none here" if on.missing == Machine.missing else on.missing
    require(name not in ("t4", "gpu") or on.gpu is not None, ValueError, "machine", "no GPU", name, why, COLAB)
    new = on.capability >= (8, 0)
    chosen = name if name != "auto" else "cpu" if on.gpu is None else "gpu" if new else "t4"
    asked = "" if name == "auto" else "you asked for it; "
    if chosen == "cpu":
        why = asked + (on.missing if on.gpu is None else f"{on.gpu} is left idle")
        return Profile(why=why, **changes)
    halves = "bfloat16 from 8.0 on" if new else "below 8.0 bfloat16 is imitated, float16 is real"
    settings = {"device": "cuda", "micro_tokens": 4096, "static_decode": True, "memory": on.memory}
    settings["why"] = f"{asked}{on.gpu} has compute capability {'.'.join(map(str, on.capability))}: {halves}"
    settings |= {"half": torch.bfloat16} if new and chosen == "gpu" else {"half": torch.float16, "loss_scaling": True}
    if chosen == "t4":
        settings |= {"lora_rank": 16, "gradient_checkpointing": True}
    return Profile(chosen, **settings | changes)


COLAB = "On Colab: Runtime > Change runtime type > T4 GPU, then run the notebook again from the top."


def banner(profile: Profile, *, sampling: bool = True) -> str:
    """What was chosen and why, in a few lines, and on Colab what to click. sampling=False: of supervised training."""
    numbers = "float32" if profile.half is None else f"{str(profile.half).removeprefix('torch.')} matrices"
    learn = f"LoRA of rank {profile.lora_rank}" if profile.lora_rank else "all weights"
    micro = f"{profile.micro_tokens} tokens" if profile.micro_tokens else "RLHFConfig.micro_batch rows"
    lines = [
        f"profile {profile.name}: {profile.why}",
        f"  computes in {numbers}{', losses scaled' if profile.loss_scaling else ''}; log-softmax in float32",
        f"  trains {learn}" + (", activations computed twice" if profile.gradient_checkpointing else ""),
    ]
    if sampling:
        lines.append(f"  micro-batches of {micro}" + (", replies from a CUDA graph" if profile.static_decode else ""))
    if profile.memory:
        lines.append(f"  {profile.memory / GIB:.1f} GiB of memory")
    return "\n".join(lines + ([COLAB] if profile.device == "cpu" else []))


def roles(model, profile: Profile, *, seed: int = 0, critic: bool = True):
    """(actor, critic, reference) of one language model, on the profile's device; critic=False: None in its place.

    With LoRA three views of it (`lora.views`), its weights in half precision. Otherwise actor and reference are float32
    both and compute alike, so that the KL between them starts at exactly 0. The model itself becomes the actor.
    """
    model = without_dropout(model).to(profile.device)
    if profile.lora_rank:
        for p in model.parameters():
            p.data = p.data.to(profile.half or torch.float32)  # buffers, such as angles, stay as they are
        made = views(model, rank=profile.lora_rank, seed=seed, critic=critic)
    else:
        model.float()
        reference = copy.deepcopy(model).requires_grad_(False)
        made = model, ScalarModel.critic(model) if critic else None, reference
    if profile.gradient_checkpointing:
        checkpoint_gradients(model)
        if critic and not profile.lora_rank:
            checkpoint_gradients(made[1].trunk)
    return made


def checkpoint_gradients(model) -> None:
    """Gradient checkpointing: keep each layer's input only, compute the rest again on the way back; in train mode."""
    turn_on = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    turn_on({"use_reentrant": False})
