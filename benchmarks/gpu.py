"""How fast one iteration of RLHF is on this GPU: decoding, scoring, updating; a 0.5 B model with random weights.

    python benchmarks/gpu.py                 every line (some minutes); writes benchmarks/results/gpu.json
    python benchmarks/gpu.py --tiny          the same code with a small model: what tests run, on a CPU too

Random weights compute as fast as trained ones; replies hardly ever end, which is the slowest case. Seconds are the
median of iterations after the first. FLOPs of the models over the update's time and the GPU's peak give utilisation.
Goals on an H200: 100,000 tokens/s of decoding and 2.5 s an iteration at 256 replies of 256 tokens, 30 GiB at most.
--profile t4 --limit 15 computes as on a T4 (float16, LoRA), with its memory and no more.

Beside it TRL 1.12's PPOTrainer (`pip install -e ".[benchmarks]"`), in a process of its own: the same architecture for
actor, reference and critic, the same batch, lengths, epochs and mini-batches, micro-batches of 8, all weights learn, no
gradient checkpointing. In its favour all its weights are bfloat16 where the GPU can; ours are float32. Its reward model
has two small layers, ours counts letters. Only whole iterations are timed. Nothing of this file has run on a GPU yet.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import itertools
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from ppo_lesson.hardware.decode import Decoder  # noqa: E402
from ppo_lesson.hardware.hardware import Hardware  # noqa: E402
from ppo_lesson.hardware.profile import choose, machine, roles  # noqa: E402
from ppo_lesson.language.advantages import advantages_of  # noqa: E402
from ppo_lesson.language.models import Models  # noqa: E402
from ppo_lesson.language.optim import adamw  # noqa: E402
from ppo_lesson.language.rlhf import RLHFConfig, update  # noqa: E402
from ppo_lesson.language.rollout import roll_out  # noqa: E402
from ppo_lesson.language.sampling import generate  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "gpu.json"
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
PEAK = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L4": 121e12, "T4": 65e12}  # dense, half precision, FLOP/s
PROMPT = 128
SHAPES = [(64, 128), (64, 256), (256, 256)]  # replies, tokens of each


class Words:
    """As much of a tokenizer as `roll_out` asks for: ids in, numbers out."""

    eos_token_id, pad_token_id = 1, 0

    def decode(self, ids, **_):
        return " ".join(map(str, ids))


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
    peak = next((x for name, x in PEAK.items() if name in (machine().gpu or "")), None)
    return {
        "decoding": decoding,
        "scoring": rolling - decoding,
        "updating": updating,
        "iteration": rolling + updating,
        "tokens/s": tokens / decoding,
        "GiB": torch.cuda.max_memory_allocated() / 2**30 if profile.device == "cuda" else None,
        "utilisation": None if peak is None else flops / updating / peak,
    }


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


def trl_apart(batch: int, reply: int, *, tiny: bool, limit: float | None) -> dict | str:
    """What `measure_trl` finds in a process of its own, or why it finds nothing."""
    try:
        version = importlib.metadata.version("trl")
    except importlib.metadata.PackageNotFoundError:
        return 'is not installed: pip install -e ".[benchmarks]"'
    if not version.startswith("1.12"):
        return f"is needed, the last version with a PPOTrainer; trl {version} is here"
    command = [sys.executable, __file__, "--trl", str(batch), str(reply), *["--tiny"] * tiny]
    command += [] if limit is None else ["--limit", str(limit)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return "failed: " + (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return json.loads(done.stdout.splitlines()[-1])


def or_why(measured, *args, **named) -> dict | str:
    """measured(...), or that it does not fit into the GPU's memory."""
    try:
        return measured(*args, **named)
    except torch.cuda.OutOfMemoryError:
        return "does not fit"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiny", action="store_true", help="a small model, and nothing is written")
    parser.add_argument("--profile", choices=("auto", "t4", "gpu"), default="auto")
    parser.add_argument("--limit", type=float, metavar="GIB", help="of the GPU's memory")
    parser.add_argument("--trl", nargs=2, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    here = machine()
    if here.gpu is None and not options.tiny:
        print("this benchmark needs a CUDA GPU; --tiny runs its code with a small model on the CPU")
        return
    if here.gpu is None and options.profile != "auto":
        parser.error(f"--profile {options.profile} needs a CUDA GPU, and there is none here: leave it out")
    if options.limit and here.memory:
        torch.cuda.set_per_process_memory_fraction(min(1.0, options.limit * 2**30 / here.memory))
    model = TINY if options.tiny else HALF_BILLION
    if options.trl:
        print(json.dumps(or_why(measure_trl, model, *options.trl)))
        return
    lines = []
    print(f"{'':38}{'tokens/s':>10}{'decode':>9}{'score':>8}{'update':>8}{'iteration':>11}{'GiB':>7}{'MFU':>7}")
    for batch, reply in [(4, 8)] if options.tiny else SHAPES:
        for graph, lora in ((False, 16), (True, 16), (True, 0)):
            name = f"{batch} x {reply}, {'graph' if graph else 'eager'}, {f'LoRA {lora}' if lora else 'all weights'}"
            found = or_why(measure, model, batch, reply, graph=graph, lora=lora, profile=options.profile)
            lines.append({"name": name, "batch": batch, "reply": reply, "graph": graph, "lora": lora, "found": found})
            print(row(name, found), flush=True)
            if here.gpu:
                torch.cuda.empty_cache()
        name = f"{batch} x {reply}, TRL 1.12, all weights"
        found = trl_apart(batch, reply, tiny=options.tiny, limit=options.limit)
        lines.append({"name": name, "batch": batch, "reply": reply, "found": found})
        print(row(name, found), flush=True)
    if not options.tiny:
        about = {"gpu": here.gpu, "GiB": here.memory / 2**30, "limit GiB": options.limit, "torch": torch.__version__}
        about |= {"profile": options.profile}
        about |= {"python": platform.python_version(), "model": HALF_BILLION, "prompt": PROMPT}
        RESULT.write_text(json.dumps({"hardware": about, "lines": lines}, indent=1) + "\n", "utf-8")


def row(name: str, found: dict | str) -> str:
    """A line of the table; what was not measured stays empty."""
    if isinstance(found, str):
        return f"{name:38}  {found}"
    columns = (
        ("tokens/s", "10,.0f"),
        ("decoding", "9.2f"),
        ("scoring", "8.2f"),
        ("updating", "8.2f"),
        ("iteration", "11.2f"),
        ("GiB", "7.1f"),
        ("utilisation", "7.0%"),
    )
    cells = (
        " " * int(form.split(",")[0].split(".")[0]) if found.get(key) is None else f"{found[key]:{form}}"
        for key, form in columns
    )
    return f"{name:38}" + "".join(cells)


if __name__ == "__main__":
    main()
