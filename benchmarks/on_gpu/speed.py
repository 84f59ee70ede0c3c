"""Seconds of an iteration of RLHF by phase, memory and utilisation; a 0.5 B model with random weights.

Random weights compute as fast as trained ones; replies hardly ever end, which is the slowest case. Seconds are the
median of iterations after the first. FLOPs of the models over the update's time and the GPU's peak give utilisation.

Beside it a plain loop with transformers alone (`measure_plain`), and TRL 1.12's PPOTrainer (`pip install -e
".[benchmarks]"`), in a process of its own: the same architecture for actor, reference and critic, the same batch,
lengths, epochs and mini-batches, micro-batches of 8, all weights learn, no gradient checkpointing. In their favour all
their weights are bfloat16 where the GPU can; ours are float32. TRL's reward model has two small layers, ours counts
letters. Only whole iterations are timed.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import itertools
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from ppo_lesson.hardware import memory  # noqa: E402
from ppo_lesson.hardware.decode import Decoder  # noqa: E402
from ppo_lesson.hardware.hardware import Hardware  # noqa: E402
from ppo_lesson.hardware.profile import choose, machine, roles  # noqa: E402
from ppo_lesson.language.advantages import advantages_of  # noqa: E402
from ppo_lesson.language.models import Models  # noqa: E402
from ppo_lesson.language.optim import adamw  # noqa: E402
from ppo_lesson.language.rlhf import RLHFConfig, update  # noqa: E402
from ppo_lesson.language.rollout import roll_out  # noqa: E402
from ppo_lesson.language.sampling import generate  # noqa: E402
from ppo_lesson.objectives import clipped_surrogate, value_loss  # noqa: E402
from ppo_lesson.returns import gae, whiten  # noqa: E402

HALF_BILLION = {
    "vocab_size": 151_936,
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "tie_word_embeddings": True,
}
TINY = HALF_BILLION | {
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
# dense, half precision, FLOP/s, by the vendor's data sheets; a name is a whole word of the GPU's, the first one counts
PEAK = {"H200": 989e12, "H100 PCIe": 756e12, "H100 NVL": 835e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12}
PEAK |= {"L4": 121e12, "A10": 125e12, "RTX 4090": 165e12, "RTX 3090": 71e12, "T4": 65e12}
PROMPT = 128
SHAPES = [(64, 128), (256, 256)]  # replies, tokens of each


class Words:
    """As much of a tokenizer as `roll_out` asks for: ids in, numbers out."""

    chat_template, eos_token_id, pad_token_id = None, 1, 0

    def __call__(self, text, **_):
        return {"input_ids": [1]}

    def decode(self, ids, **_):
        return " ".join(map(str, ids))


def peak_of(gpu: str) -> float | None:
    """FLOP/s of a GPU by its name; None for one that is not in PEAK, and for a part of one (MIG)."""
    known = [x for name, x in PEAK.items() if re.search(rf"\b{name}\b", gpu)]
    return known[0] if known and "MIG" not in gpu else None


def clock(device: str) -> float:
    """Now, when the GPU has done what it was told."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def measure(
    about: dict, batch: int, reply: int, *, graph: bool, lora: int, repeats: int = 3, profile: str = "auto"
) -> dict:
    """Seconds of decoding, scoring and updating, tokens/s, GiB at the peak, utilisation of the update."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    profile = choose(profile, static_decode=graph, lora_rank=lora)
    torch.manual_seed(0)
    with torch.device(profile.device):
        model = Qwen2ForCausalLM(Qwen2Config(**about, max_position_embeddings=1024, eos_token_id=1, pad_token_id=0))
    trunk = sum(p.numel() for p in model.model.layers.parameters())
    head = model.get_output_embeddings().weight.numel()
    actor, critic, reference = roles(model.eval(), profile)
    config = RLHFConfig(batch=batch, max_new_tokens=reply, epochs=1, minibatches=4, lr=1e-6, critic_lr=1e-5)
    optimizers = {
        name: adamw([p for p in m.parameters() if p.requires_grad], 1e-6, weight_decay=0.0)[0]
        for name, m in (("actor", actor), ("critic", critic))
    }
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(2, about["vocab_size"], (batch, PROMPT), generator=generator).tolist()
    prompts = [(f"prompt {i}", row) for i, row in enumerate(rows)]
    plain = Decoder(prompt=PROMPT, half=profile.half) if graph else generate
    seconds: dict[str, list[float]] = {"decoding": [], "rollout": [], "updating": []}

    def decode(*args, **named):
        start = clock(profile.device)
        out = plain(*args, **named)
        seconds["decoding"].append(clock(profile.device) - start)
        return out

    def length(prompt: str, text: str) -> float:
        return len(text) / 1000.0

    models, hardware = Models(actor, critic, reference, length), Hardware(profile)
    if profile.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    for _ in range(repeats + 1):
        start = clock(profile.device)
        rollout = roll_out(models, Words(), prompts, config, generator, hardware=hardware, decode=decode)
        weights, returns = advantages_of(rollout, config, 0.1, torch.zeros(batch))
        between = clock(profile.device)
        update(models, optimizers, rollout, weights, returns, config, generator, hardware=hardware)
        seconds["rollout"].append(between - start)
        seconds["updating"].append(clock(profile.device) - between)
    decoding, rolling, updating = (statistics.median(x[1:]) for x in seconds.values())
    tokens = int(rollout.mask.sum())
    passes = 4 if lora else 6  # FLOPs a weight and token, forward and backward; LoRA needs no gradient of its base
    flops = passes * (2 * trunk * (tokens + batch * PROMPT) + head * tokens)  # two trunks, one head
    peak = peak_of(machine().gpu or "")
    planned = memory.plan(model.config, profile, config, prompt=PROMPT).peak
    return {
        "planned GiB": planned / 2**30,
        "decoding": decoding,
        "scoring": rolling - decoding,
        "updating": updating,
        "iteration": rolling + updating,
        "tokens/s": tokens / decoding,
        "GiB": torch.cuda.max_memory_allocated() / 2**30 if profile.device == "cuda" else None,
        "utilisation": None if peak is None else flops / updating / peak,
    }


def measure_plain(about: dict, batch: int, reply: int, *, repeats: int = 2) -> dict:
    """As `measure`, for the loop that one writes with transformers alone: model.generate, whole logits, bfloat16.

    The same losses, from the same functions; actor, reference and critic are three models, micro-batches of 8 rows.
    """
    from transformers import Qwen2Config, Qwen2ForCausalLM

    profile = choose("auto")
    kind = torch.bfloat16 if profile.half == torch.bfloat16 else torch.float32
    torch.manual_seed(0)
    with torch.device(profile.device):
        config = Qwen2Config(**about, max_position_embeddings=1024, eos_token_id=1, pad_token_id=0)
        actor, reference, critic = (Qwen2ForCausalLM(config).to(kind).eval() for _ in range(3))
        head = torch.nn.Linear(about["hidden_size"], 1).to(kind)
        ids = torch.randint(2, about["vocab_size"], (batch, PROMPT))
    learners = [*actor.parameters(), *critic.model.parameters(), *head.parameters()]
    optimizer, seconds = torch.optim.AdamW(learners, lr=1e-6, foreach=True), {"decoding": [], "iteration": []}

    def logps(model, rows):
        logits = model(rows).logits[:, PROMPT - 1 : -1].float()
        return logits.log_softmax(-1).gather(-1, rows[:, PROMPT:, None])[..., 0]

    if profile.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    for _ in range(repeats + 1):
        start = clock(profile.device)
        with torch.no_grad():
            sampling = {"do_sample": True, "top_k": 0, "top_p": 1.0, "temperature": 1.0, "repetition_penalty": 1.0}
            mask = torch.ones_like(ids)
            out = actor.generate(ids, attention_mask=mask, min_new_tokens=reply, max_new_tokens=reply, **sampling)
            seconds["decoding"].append(clock(profile.device) - start)
            parts = out.split(8)
            old, home = (torch.cat([logps(m, rows) for rows in parts]) for m in (actor, reference))
            values = torch.cat([head(critic.model(rows)[0][:, PROMPT - 1 : -1])[..., 0].float() for rows in parts])
            rewards = -0.1 * (old - home)
            ends = torch.zeros_like(rewards, dtype=torch.bool)
            ends[:, -1] = True
            later = torch.cat([values[:, 1:], values[:, -1:]], -1)
            weights, returns = gae(rewards, values, later, terminated=ends, gamma=1.0, lam=0.95)
            weights = whiten(weights)
        for chosen in torch.randperm(batch, device=ids.device).chunk(4):
            for rows in chosen.split(8):
                new = logps(actor, out[rows])
                told = head(critic.model(out[rows])[0][:, PROMPT - 1 : -1])[..., 0].float()
                loss = value_loss(told, returns[rows]) - clipped_surrogate(new, old[rows], weights[rows])
                (loss.mean() * len(rows) / len(chosen)).backward()
            optimizer.step()
            optimizer.zero_grad()
        seconds["iteration"].append(clock(profile.device) - start)
    decoding, iteration = (statistics.median(x[1:]) for x in seconds.values())
    peak = torch.cuda.max_memory_allocated() / 2**30 if profile.device == "cuda" else None
    return {"decoding": decoding, "iteration": iteration, "tokens/s": batch * reply / decoding, "GiB": peak}


def measure_trl(about: dict, batch: int, reply: int, *, repeats: int = 3) -> dict:
    """As `measure`, for TRL 1.12: seconds of an iteration and GiB at the peak."""
    from rlhf_vs_trl import drive_trl
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM, Qwen2ForSequenceClassification

    profile = choose("auto")
    kind = torch.bfloat16 if profile.half == torch.bfloat16 else torch.float32
    words = Tokenizer(models.WordLevel({"<pad>": 0, "<eos>": 1}, unk_token="<pad>"))  # pads, and is asked for no more
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", eos_token="<eos>", padding_side="left"
    )
    torch.manual_seed(0)
    common = {"max_position_embeddings": 1024, "eos_token_id": 1, "pad_token_id": 0, "num_labels": 1}
    large, small = (Qwen2Config(**x | common) for x in (about, TINY | {"vocab_size": about["vocab_size"]}))
    with torch.device(profile.device):
        kinds = (Qwen2ForCausalLM, large), (Qwen2ForCausalLM, large), (Qwen2ForSequenceClassification, small)
        four = tuple(make(config).to(kind) for make, config in (*kinds, (Qwen2ForSequenceClassification, large)))
    four[1].load_state_dict(four[0].state_dict())
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(2, about["vocab_size"], (batch, PROMPT), generator=generator).tolist()
    times, micro = [], min(8, batch // 4)

    def started():
        if profile.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        times.append(clock(profile.device))

    with tempfile.TemporaryDirectory() as folder:
        drive_trl(
            four,
            tokenizer,
            rows,
            started,
            lambda _: times.append(clock(profile.device)),
            output_dir=folder,
            per_device_train_batch_size=micro,
            gradient_accumulation_steps=batch // micro,
            num_mini_batches=4,
            total_episodes=batch * (repeats + 1),
            response_length=reply,
            learning_rate=1e-6,
            kl_coef=0.1,
            use_cpu=profile.device == "cpu",
            seed=0,
        )
    seconds = [b - a for a, b in itertools.pairwise(times)]
    peak = torch.cuda.max_memory_allocated() / 2**30 if profile.device == "cuda" else None
    return {"iteration": statistics.median(seconds[1:]), "GiB": peak}


def trl_apart(batch: int, reply: int, *, tiny: bool, limit: float | None, seconds: float | None = None) -> dict | str:
    """What `measure_trl` finds in a process of its own, in so many seconds at most, or why it finds nothing."""
    try:
        version = importlib.metadata.version("trl")
    except importlib.metadata.PackageNotFoundError:
        return 'not run: TRL is not installed: pip install -e ".[benchmarks]"'
    if not version.startswith("1.12"):
        return f"not run: it needs TRL 1.12, the last with a PPOTrainer; trl {version} is here"
    command = [sys.executable, __file__, "--trl", str(batch), str(reply), *["--tiny"] * tiny]
    command += [] if limit is None else ["--limit", str(limit)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return f"cut: not done after {seconds:.0f} s"
    if done.returncode:
        return "failed: " + (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return json.loads(done.stdout.splitlines()[-1])


def or_why(measured, *args, **named) -> dict | str:
    """measured(...), or why there is nothing: no memory, a library that is not there, an error."""
    try:
        return measured(*args, **named)
    except torch.cuda.OutOfMemoryError:
        return "does not fit"
    except ImportError as error:
        return f"not run: {error}"
    except Exception as error:  # the lines behind it may still be measured
        traceback.print_exc()
        return f"failed: {error!r}"


COLUMNS = (  # title, key, width with decimals
    ("tokens/s", "tokens/s", "10,.0f"),
    ("decoding", "decoding", "10.2f"),
    ("scoring", "scoring", "9.2f"),
    ("updating", "updating", "10.2f"),
    ("iteration", "iteration", "11.2f"),
    ("GiB", "GiB", "7.1f"),
    ("planned", "planned GiB", "9.1f"),
    ("utilisation", "utilisation", "12.0%"),
)
HEAD = "replies x tokens; seconds, peak GiB"


def width(form: str) -> int:
    return int(re.match(r"\d+", form)[0])


def header() -> str:
    """The titles over `row`."""
    return f"{HEAD:38}" + "".join(f"{title:>{width(form)}}" for title, _, form in COLUMNS)


def row(name: str, found: dict | str) -> str:
    """A line of the table; what was not measured stays empty."""
    if isinstance(found, str):
        return f"{name:38}  {found}"
    cells = (" " * width(form) if found.get(key) is None else f"{found[key]:{form}}" for _, key, form in COLUMNS)
    return f"{name:38}" + "".join(cells)


def limit_memory(gib: float | None) -> None:
    """Let this process use so much of the GPU's memory and no more."""
    if gib and machine().memory:
        torch.cuda.set_per_process_memory_fraction(min(1.0, gib * 2**30 / machine().memory))


def main() -> None:
    """TRL's line, in a process of its own."""
    parser = argparse.ArgumentParser(description="used by gpu.py")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--limit", type=float)
    parser.add_argument("--trl", nargs=2, type=int, required=True)
    options = parser.parse_args()
    limit_memory(options.limit)
    print(json.dumps(or_why(measure_trl, TINY if options.tiny else HALF_BILLION, *options.trl)))


if __name__ == "__main__":
    main()
