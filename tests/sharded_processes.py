"""Started by torchrun in test_language_sharding.py: models that two processes share.

python sharded_processes.py FOLDER     writes FOLDER/<name>.safetensors and <name>.<rank>.json, for every name in RUNS
"""

import copy
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from tiny_language import Letters, build

from ppo_lesson.kl import ZieglerKL
from ppo_lesson.language.models import ScalarModel, without_dropout
from ppo_lesson.language.processes import ALONE, is_cut, start
from ppo_lesson.language.rlhf import RLHFConfig, rlhf
from ppo_lesson.language.scale import CPU, compute_twice
from ppo_lesson.language.sharding import whole

SHORT = RLHFConfig(
    iterations=3,
    batch=16,
    minibatches=2,
    epochs=2,
    micro_batch=3,
    max_new_tokens=6,
    lr=1e-3,
    critic_lr=1e-3,
    warmup=0,
    max_grad_norm=0.5,
    checkpoint_every=1,
)
RUNS = {
    "ppo": {"entropy_coef": 0.01, "kl": ZieglerKL(0.2, target=0.01, horizon=20), "ptx_coef": 0.5, "ptx_batch": 5},
    "group": {"advantages": "group", "replies": 4, "rescore": False},
    "gpt2": {"kl_loss": 0.1},  # pieces by tokens, unequally many; activations computed twice; weights gathered once
}
PROMPTS = ["ab", "c", "gfedcba", "a"]


def models(name, processes=ALONE):
    """Actor, critic, reference; the actors of other processes than the first are off by one."""
    about = {"vocab_size": 8, "eos_token_id": 0, "pad_token_id": 0, "bos_token_id": 0, "num_hidden_layers": 3}
    kind, uneven = ("gpt2", {}) if name == "gpt2" else ("llama", {"intermediate_size": 33})
    model = without_dropout(build(kind, **about, **uneven))
    actor, critic = copy.deepcopy(model), ScalarModel.critic(model)
    for p in actor.parameters() if processes.rank else ():
        p.data.add_(1.0)
    return actor, None if name == "group" else critic, model


def train(name, folder, processes=ALONE, stop=None):
    """One run, killed after `stop` iterations if that is said: actor, critic, reference, rows."""
    config = replace(SHORT, **RUNS[name])
    actor, critic, reference = models(name, processes)
    if name == "gpt2":
        compute_twice(actor)
    profile = replace(CPU, static_decode=True)  # draws as the sharded model does, to the last bit but a few
    if name == "gpt2":
        profile = replace(profile, micro_tokens=24, gradient_checkpointing=True)
    run = rlhf(
        config,
        actor,
        critic,
        reference,
        lambda prompt, reply: reply.count("d") - 0.1 * len(reply),
        PROMPTS,
        tokenizer=Letters(8),
        documents=["abcabcabcabc" * 4] * 20,
        profile=profile,
        processes=processes,
        resume=Path(folder) / f"{name}.run",
    )
    return actor, critic, reference, [row for _, row in zip(range(stop or config.iterations), run)]


def weights(*learners):
    """Of all that learn, under names with a number before them; tied ones once."""
    return {f"{i}.{n}": p.detach().clone() for i, m in enumerate(learners) if m for n, p in m.named_parameters()}


def leave(name, folder, processes):
    """Train, and write down what came of it."""
    actor, critic, reference, rows = train(name, folder, processes)
    parts = [
        [p.numel(), (p.to_local() if is_cut(p) else p).numel()] for m in (actor, reference) for p in m.parameters()
    ]
    cut = {n for n, p in actor.named_parameters() if is_cut(p)}
    facts = {"rows": [{k: v for k, v in row.items() if k != "seconds"} for row in rows], "cut": sorted(cut)}
    Path(folder, f"{name}.{processes.rank}.json").write_text(json.dumps(facts | {"parts": parts}))
    learners = [whole(model, processes) for model in (actor, critic)]
    if processes.first:
        save_file(weights(*learners), Path(folder) / f"{name}.safetensors")


if __name__ == "__main__":
    torch.set_num_threads(1)
    here, processes = Path(sys.argv[1]), start()
    for name in RUNS:
        os.environ["FSDP_RESHARD_AFTER_FORWARD"] = "false" if name == "gpt2" else "true"
        leave(name, here, processes)
    (here / "again").mkdir(exist_ok=True)
    train("ppo", here / "again", processes, stop=2)
    leave("ppo", here / "again", processes)
    torch.distributed.destroy_process_group()
