"""What the recipe should need on GPUs of 24, 80 and 139 GiB: memory from the planner, minutes as an estimate.

    python examples/gsm8k/expect.py        prints the table of docs/gsm8k.md

Memory is counted from the model's shapes (hardware/memory.py). Minutes are arithmetic and no measurement: matrix
products at UTILISATION of the GPU's peak, decoding at UTILISATION of what its memory could deliver, replies all of full
length. Left out: loading, evaluation, the CPU.
"""

import sys
import tomllib
from dataclasses import replace
from pathlib import Path

from transformers import Qwen2Config

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from ppo_lesson.hardware import memory  # noqa: E402
from ppo_lesson.hardware.profile import GIB, Machine, choose  # noqa: E402
from ppo_lesson.language.settings import RLHFConfig  # noqa: E402

# Qwen2.5-0.5B, from its config.json
MODEL = Qwen2Config(
    vocab_size=151_936,
    hidden_size=896,
    intermediate_size=4864,
    num_hidden_layers=24,
    num_attention_heads=14,
    num_key_value_heads=2,
    tie_word_embeddings=True,
)
PARAMETERS, PROMPT = 494e6, 192  # of the model; tokens of a question with its ending, room included
# The first is sold as 24 GB, and its driver reports 22.5 GiB with error correction.
# name: compute capability, GiB, peak bfloat16 FLOP/s without sparsity and bytes/s of memory by the vendor's data sheets
GPUS = {
    "A10, 24 GiB": ((8, 6), 22.5, 125e12, 0.6e12),
    "A100, 80 GiB": ((8, 0), 80, 312e12, 2.0e12),
    "H200, 139 GiB": ((9, 0), 139, 989e12, 4.8e12),
}
UTILISATION = 0.3


def config() -> RLHFConfig:
    """The settings of settings.toml."""
    settings = tomllib.loads((HERE / "settings.toml").read_text("utf-8"))
    named = {x["name"].replace("-", "_"): x["value"] for x in settings["option"] + settings["set"]}
    fields = RLHFConfig.__dataclass_fields__
    return replace(RLHFConfig(), **{name: x for name, x in named.items() if name in fields})


def row(capability, gib, flops, bandwidth) -> tuple[dict, memory.Plan, float]:
    """(what must change so that it fits, the plan, seconds of an iteration)."""
    run, profile = config(), choose("gpu", Machine("GPU", capability, int(gib * GIB)))
    changes, plan = memory.fit(MODEL, profile, run, prompt=PROMPT)
    tokens = run.batch * (PROMPT + run.max_new_tokens)
    # old, reference, values: 2 FLOPs a weight and token; actor and critic forward and back: 6 each, or forward twice: 8
    products = (3 * 2 + run.epochs * 2 * (8 if changes.get("gradient_checkpointing") else 6)) * PARAMETERS * tokens
    read = run.max_new_tokens * (
        2 * PARAMETERS + plan.cache / 2
    )  # each step reads the weights and half the final cache
    return changes, plan, products / (UTILISATION * flops) + read / (UTILISATION * bandwidth)


def table() -> str:
    lines = [
        "| GPU | memory at the peak, GiB | what must change | s an iteration | minutes in all |",
        "|--|--|--|--|--|",
    ]
    for name, gpu in GPUS.items():
        changes, plan, seconds = row(*gpu)
        words = ", ".join(f"{key}={x}" for key, x in changes.items()) or "nothing"
        minutes = seconds * config().iterations / 60
        lines.append(f"| {name} | {plan.peak / GIB:.1f} | {words} | {seconds:.0f} | {minutes:.0f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
