"""RLHF of a language model: `ppo_lesson.language.rlhf` beside TRL, its GRPO of today (1.16) and its last PPO (1.12).

    python benchmarks/rlhf_vs_trl.py              every line, each in a process of its own (about 10 minutes)
    python benchmarks/rlhf_vs_trl.py --only ours  some of them; the table shows what is stored
    python benchmarks/rlhf_vs_trl.py --only AVX2  two lines on kernels for AVX2, as a Zen 3 has (2 minutes)
    --today PYTHON    the Python of another environment, with trl==1.16.0, for its lines: both cannot share one

The same tiny Qwen2 with random weights, reward model, prompts, reply length, batch, epochs and KL coefficient, one
thread. CPU seconds of an update: the median over updates after the first. Memory: the peak that is resident, minus what
is resident just before the first update. TRL runs without gradient checkpointing, which makes it faster. Groups: four
prompts with eight replies each, no critic, the KL (k3) in the loss. TRL 1.12's PPOTrainer, the last one that TRL
shipped, is history. "learns": 40 updates with a vocabulary of 64, where a random reward can be learnt in that time,
three seeds each. AVX2: torch takes its older kernels (ATEN_CPU_CAPABILITY=avx2); each line names those that it ran
on. It writes benchmarks/results/rlhf_vs_trl.json, after each line. Needs `pip install -e ".[benchmarks]"`.
"""

import os

os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TRL_EXPERIMENTAL_SILENCE": "1", "TQDM_DISABLE": "1"}

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import process_time

import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

RESULT = ROOT / "benchmarks" / "results" / "rlhf_vs_trl.json"
VOCABULARY, WIDTH, BATCH, PROMPT, REPLY, UPDATES, LR, BETA = 32_000, 64, 32, 16, 64, 8, 1e-3, 0.05
SMALL, LONG, SEEDS = 64, 40, (0, 1, 2)  # vocabulary, updates and seeds of the lines that learn
LINES = {  # name: (whose, micro-batch, old log-probabilities scored again)
    "TRL 1.12, micro-batch 4": ("trl", 4, False),
    "TRL 1.12, micro-batch 8": ("trl", 8, False),
    "TRL 1.12, micro-batch 16": ("trl", 16, False),
    "TRL 1.12, micro-batch 32": ("trl", 32, False),
    "ours, micro-batch 4": ("ours", 4, False),
    "ours, micro-batch 16": ("ours", 16, False),
    "ours, micro-batch 32": ("ours", 32, False),
    "ours, micro-batch 16, rescored": ("ours", 16, True),
    "ours, micro-batch 32, rescored": ("ours", 32, True),
    "TRL 1.16 GRPO, micro-batch 8": ("today", 8, False),
    "TRL 1.16 GRPO, micro-batch 16": ("today", 16, False),
    "TRL 1.16 GRPO, micro-batch 32": ("today", 32, False),
    "groups, ours, micro-batch 16": ("groups", 16, False),
    "groups, ours, micro-batch 32": ("groups", 32, False),
}
OLDER = {f"AVX2, {name}": LINES[name] for name in ("TRL 1.12, micro-batch 32", "ours, micro-batch 32")}
GROUP = 8  # replies for each prompt, in lines with groups
LEARNS = {
    f"{name} learns, seed {seed}": (whose, seed)
    for name, whose in (("TRL 1.12", "trl"), ("ours", "ours"))
    for seed in SEEDS
}
ALL = [*LINES, *OLDER, *LEARNS]


# ---- what both start from ------------------------------------------------------------------------------------------


def make_models(folder: Path, vocabulary: int) -> None:
    """A policy, a reward model and a word-level tokenizer, in Hugging Face folders."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM, Qwen2ForSequenceClassification

    words = {"<pad>": 0, "<eos>": 1, "<unk>": 2} | {f"w{i}": i for i in range(3, vocabulary)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = {"pad_token": "<pad>", "eos_token": "<eos>", "unk_token": "<unk>"}
    template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, padding_side="left", chat_template=template, **special)
    about = {
        "vocab_size": vocabulary,
        "hidden_size": WIDTH,
        "intermediate_size": 4 * WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "bos_token_id": None,
    }
    torch.manual_seed(0)
    Qwen2ForCausalLM(Qwen2Config(**about)).save_pretrained(folder / "policy")
    Qwen2ForSequenceClassification(Qwen2Config(**about, num_labels=1)).save_pretrained(folder / "reward")
    fast.save_pretrained(folder / "tokenizer")


def prompts(vocabulary: int) -> list[str]:
    """Texts of PROMPT words each."""
    ids = torch.randint(3, vocabulary, (256, PROMPT), generator=torch.Generator().manual_seed(1))
    return [" ".join(f"w{i}" for i in row) for row in ids.tolist()]


class Clock:
    """CPU seconds at the start and after each update; memory before the first and at the peak, in MiB."""

    def __init__(self):
        self.times, self.scores, self.before = [process_time()], [], resident()

    def update(self, score: float):
        self.times.append(process_time())
        self.scores.append(score)

    def numbers(self) -> dict:
        seconds = [b - a for a, b in zip(self.times, self.times[1:])]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return {
            "CPU s": round(statistics.median(seconds[1:]), 3),
            "all CPU s": [round(x, 2) for x in seconds],
            "MiB": round(peak - self.before),
            "peak MiB": round(peak),
            "scores": [round(x, 4) for x in self.scores],
        }


def resident() -> float:
    """MiB of this process in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


# ---- the two sides -------------------------------------------------------------------------------------------------


def groups(folder: Path, *given) -> dict:
    """Ours as TRL's GRPO: advantages of groups, no critic, k3 in the loss without a ratio."""
    return ours(folder, *given, replies=GROUP, advantages="group", kl=None, kl_loss=BETA, kl_loss_kind="k3")


def ours(folder: Path, vocabulary: int, updates: int, micro: int, rescore: bool, seed: int, **settings) -> dict:
    from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerFast

    from ppo_lesson.kl import FixedKL
    from ppo_lesson.language.models import Models, ScalarModel, load_language_model
    from ppo_lesson.language.rlhf import RLHFConfig, rlhf

    policy, reference = (load_language_model(folder / "policy") for _ in range(2))
    judge = AutoModelForSequenceClassification.from_pretrained(
        folder / "reward", dtype=torch.float32, trust_remote_code=False
    )
    reward = ScalarModel(judge.base_model, init_std=0.0)
    reward.head.weight.data.copy_(judge.score.weight.data)
    critic = ScalarModel(
        AutoModelForSequenceClassification.from_pretrained(
            folder / "reward", dtype=torch.float32, trust_remote_code=False
        ).base_model,
        init_std=0.0,
        kind="critic",
    )
    critic.head.weight.data.copy_(judge.score.weight.data)  # TRL's value model starts from the reward model
    about = {"iterations": updates, "batch": BATCH, "micro_batch": micro, "max_new_tokens": REPLY, "seed": seed}
    rates = {"epochs": 1, "minibatches": 1, "lr": LR, "warmup": 0, "rescore": rescore}
    rates |= {} if "advantages" in settings else {"critic_lr": LR}
    config = RLHFConfig(**about | rates | {"kl": FixedKL(BETA)} | settings)
    tokenizer, clock = PreTrainedTokenizerFast.from_pretrained(folder / "tokenizer"), Clock()
    models = Models(policy, None if config.advantages == "group" else critic, reference, reward)
    for row in rlhf(config, models, prompts(vocabulary), tokenizer=tokenizer):
        clock.update(row["score"])
    return clock.numbers()


def trl(folder: Path, vocabulary: int, updates: int, micro: int, _rescore: bool, seed: int) -> dict:
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder / "tokenizer")
    rows = [tokenizer(text)["input_ids"] for text in prompts(vocabulary)]
    policy, reference = (
        AutoModelForCausalLM.from_pretrained(folder / "policy", dtype=torch.float32, trust_remote_code=False)
        for _ in range(2)
    )
    judge, value = (
        AutoModelForSequenceClassification.from_pretrained(
            folder / "reward", num_labels=1, dtype=torch.float32, trust_remote_code=False
        )
        for _ in range(2)
    )
    clocks = []
    drive_trl(
        (policy, reference, judge, value),
        tokenizer,
        rows,
        lambda: clocks.append(Clock()),
        lambda score: clocks[-1].update(score),
        output_dir=str(folder / "out"),
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=BATCH // micro,
        num_mini_batches=1,
        total_episodes=updates * BATCH,
        response_length=REPLY,
        learning_rate=LR,
        kl_coef=BETA,
        use_cpu=True,
        local_rollout_forward_batch_size=BATCH,
        seed=seed,
    )
    return clocks[-1].numbers()


def today(folder: Path, vocabulary: int, updates: int, micro: int, _rescore: bool, seed: int) -> dict:
    """TRL 1.16's GRPOTrainer."""
    from datasets import Dataset
    from transformers import (
        AutoModelForCausalLM,
        AutoModelForSequenceClassification,
        PreTrainedTokenizerFast,
        TrainerCallback,
    )
    from trl import GRPOConfig, GRPOTrainer

    clocks = []

    class Watch(TrainerCallback):
        score = float("nan")

        def on_train_begin(self, *args, **named):
            clocks.append(Clock())

        def on_log(self, args, state, control, logs=None, **named):
            if "reward" in logs:
                clocks[-1].scores.append(logs["reward"])

        def on_step_end(self, *args, **named):
            clocks[-1].times.append(process_time())

    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder / "tokenizer")
    policy = AutoModelForCausalLM.from_pretrained(folder / "policy", dtype=torch.float32, trust_remote_code=False)
    judge = AutoModelForSequenceClassification.from_pretrained(
        folder / "reward", num_labels=1, dtype=torch.float32, trust_remote_code=False
    )
    shape = {
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": BATCH // micro,
        "num_generations": GROUP,
        "max_completion_length": REPLY,
        "max_steps": updates,
    }
    config = GRPOConfig(
        **shape,
        output_dir=str(folder / "out"),
        learning_rate=LR,
        lr_scheduler_type="constant",
        beta=BETA,
        max_grad_norm=1.0,
        disable_dropout=True,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        save_strategy="no",
        report_to="none",
        logging_steps=1,
        seed=seed,
    )
    GRPOTrainer(
        model=policy,
        reward_funcs=judge,
        args=config,
        train_dataset=Dataset.from_dict({"prompt": prompts(vocabulary)}),
        processing_class=tokenizer,
        reward_processing_classes=tokenizer,
        callbacks=[Watch()],
    ).train()
    return clocks[-1].numbers()


def drive_trl(models: tuple, tokenizer, rows: list[list[int]], started, updated, **settings) -> None:
    """TRL's PPOTrainer over prompts of equal length; started() before its first update, updated(score) after each.

    models: policy, reference, reward model, value model. settings: of its PPOConfig, beside those that are ours too.
    """
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl.experimental.ppo import PPOConfig, PPOTrainer

    class Watch(TrainerCallback):
        score = float("nan")

        def on_train_begin(self, *args, **named):
            started()

        def on_log(self, args, state, control, logs=None, **named):
            self.score = logs.get("objective/scores", self.score)

        def on_step_end(self, *args, **named):
            updated(self.score)

    policy, reference, judge, value = models
    data = Dataset.from_dict({"input_ids": rows})
    config = PPOConfig(
        num_ppo_epochs=1,
        temperature=1.0,
        stop_token="eos",
        num_sample_generations=0,
        save_strategy="no",
        gradient_checkpointing=False,
        bf16=False,
        report_to="none",
        lr_scheduler_type="constant",
        logging_steps=1,
        vf_coef=1.0,
        max_grad_norm=1.0,
        **settings,
    )
    PPOTrainer(
        args=config,
        processing_class=tokenizer,
        model=policy,
        ref_model=reference,
        reward_model=judge,
        value_model=value,
        train_dataset=data,
        eval_dataset=data.select(range(2)),
        callbacks=[Watch()],
    ).train()


# ---- both, side by side --------------------------------------------------------------------------------------------


def one(name: str) -> dict:
    """One line, here and now."""
    torch.set_num_threads(1)
    capability = torch.backends.cpu.get_cpu_capability()
    if name in OLDER and capability != "AVX2":
        raise SystemExit(f"{name}: torch runs on {capability} here, even with ATEN_CPU_CAPABILITY=avx2")
    if name in LEARNS:
        (whose, seed), micro, rescore, vocabulary, updates = LEARNS[name], 16, False, SMALL, LONG
    else:
        (whose, micro, rescore), seed, vocabulary, updates = (LINES | OLDER)[name], 0, VOCABULARY, UPDATES
    with tempfile.TemporaryDirectory() as folder:
        make_models(Path(folder), vocabulary)
        which = {"ours": ours, "trl": trl, "groups": groups, "today": today}[whose]
        found = which(Path(folder), vocabulary, updates, micro, rescore, seed)
    return found | {"kernels": capability}


def table(lines: dict[str, dict]) -> str:
    """A line each, and what the goals ask for."""
    out = [f"{'':34}{'CPU s an update':>16}{'MiB more':>10}{'score: first':>14}{'last 10':>9}"]
    for name, found in lines.items():
        scores = f"{found['scores'][0]:14.3f}{statistics.mean(found['scores'][-10:]):9.3f}" * (name in LEARNS)
        out.append(f"{name:34}{found['CPU s']:16.2f}{found['MiB']:10}{scores}")
    for mine, others in (("ours", "trl"), ("groups", "today")):
        out += compared(lines, mine, others)
    older = [lines[name]["CPU s"] for name in OLDER if name in lines]
    if len(older) == 2:
        out.append(f"AVX2, micro-batch 32: ours {older[0] / older[1]:.1f} times as fast as TRL 1.12")
    out.append(
        "goals: PPO 4 at micro-batch 32, on AVX2 too, 3 against the fastest, memory at most 1/6; groups 3 and 1/3; "
        "score at least TRL's where it learns"
    )
    return "\n".join(out)


def compared(lines: dict[str, dict], mine: str, others: str) -> list[str]:
    """Each of our lines of one kind beside TRL's."""
    out, theirs = [], {n: f for n, f in lines.items() if n in LINES and LINES[n][0] == others}
    if not theirs:
        return out
    fastest, memory = min(f["CPU s"] for f in theirs.values()), min(f["MiB"] for f in theirs.values())
    same = next((f for n, f in theirs.items() if n.endswith("micro-batch 32")), None)
    for name, found in lines.items():
        if name in LINES and LINES[name][0] == mine:
            against = f", {same['CPU s'] / found['CPU s']:.1f} of its micro-batch 32" if same and "32" in name else ""
            out.append(
                f"{name}: {fastest / found['CPU s']:.1f} times as fast as TRL's fastest{against}; "
                f"{found['MiB'] / memory:.2f} of TRL's smallest memory"
            )
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="WORDS", default="", help="lines whose name begins so; the others are kept")
    parser.add_argument("--today", metavar="PYTHON", help="of an environment with trl==1.16.0; without, no such line")
    parser.add_argument("--one", choices=ALL, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.one)))
        return
    from classic import hardware

    lines = json.loads(RESULT.read_text("utf-8"))["lines"] if RESULT.exists() else {}
    settings = {"vocabulary": VOCABULARY, "width": WIDTH, "batch": BATCH, "prompt": PROMPT, "reply": REPLY}
    settings |= {"updates": UPDATES, "lr": LR, "beta": BETA, "group": GROUP}
    settings["learns"] = {"vocabulary": SMALL, "updates": LONG}
    for name in ALL:
        python = options.today if name.startswith("TRL 1.16") else sys.executable
        if name.startswith(options.only) and python:
            kernels = {"ATEN_CPU_CAPABILITY": "avx2"} if name in OLDER else {}
            command = [python, __file__, "--one", name]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=os.environ | kernels)
            lines[name] = json.loads(done.stdout.splitlines()[-1])
            print(f"{name}: {lines[name]['CPU s']} s", flush=True)
            lines = {name: lines[name] for name in ALL if name in lines}
            RESULT.parent.mkdir(exist_ok=True)
            content = {"hardware": hardware(), "settings": settings, "lines": lines}
            RESULT.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    print(table(lines))


if __name__ == "__main__":
    main()
