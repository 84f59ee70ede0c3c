"""Started by torchrun in test_language_processes.py: three iterations of rlhf on a tiny model, weights to a file.

python two_processes.py FOLDER     writes FOLDER/<name>.safetensors and rows, for SETTINGS and both of SUPERVISED
"""

import atexit
import copy
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from tiny_language import Letters, build

from ppo_lesson.hardware.hardware import Hardware
from ppo_lesson.hardware.processes import ALONE, start
from ppo_lesson.hardware.profile import Profile
from ppo_lesson.kl import ZieglerKL
from ppo_lesson.language.data import Pair, Ranking
from ppo_lesson.language.models import Models, ScalarModel, without_dropout
from ppo_lesson.language.reward import train_reward
from ppo_lesson.language.rlhf import RLHFConfig, rlhf
from ppo_lesson.language.supervised import SupervisedConfig, sft

SHORT = RLHFConfig(
    iterations=3,
    batch=15,
    minibatches=4,
    epochs=2,
    micro_batch=2,
    max_new_tokens=6,
    lr=1e-3,
    critic_lr=1e-3,
    warmup=0,
    checkpoint_every=2,
)
SETTINGS = {  # 15 rows over 2 processes, mini-batches of 3 and 4: nothing comes out even
    "ppo": {"entropy_coef": 0.01, "kl_loss": 0.1},
    "ziegler": {"kl": ZieglerKL(0.2, target=0.01, horizon=20), "target_kl": 0.02, "ptx_coef": 0.5, "ptx_batch": 5},
    "group": {"advantages": "group", "replies": 5, "aggregate": "seq-mean-token-mean"},
    "tokens": {"micro_batch": 10},
}
PROMPTS = ["ab", "c", "gfedcba", "a"]


def train(name, folder, processes=ALONE):
    """One run; every process returns its rows, the first one leaves weights and a checkpoint in `folder`."""
    config = replace(SHORT, **SETTINGS[name])
    model = without_dropout(build("llama", vocab_size=8, eos_token_id=0, pad_token_id=0))
    actor, critic = copy.deepcopy(model), ScalarModel.critic(model)
    critic = None if config.advantages == "group" else critic
    if processes.rank:  # whatever the others start from, they take the first one's weights
        for p in actor.parameters():
            p.data.add_(1.0)
    profile = Profile(micro_tokens=24 if name == "tokens" else None)
    run = rlhf(
        config,
        Models(actor, critic, model, lambda prompt, reply: reply.count("d") - 0.1 * len(reply)),
        PROMPTS,
        tokenizer=Letters(8),
        documents=["abcabcabcabc" * 4] * 20 if config.ptx_coef else [],
        hardware=Hardware(profile, processes),
        resume=Path(folder) / f"{name}.run",
    )
    rows = list(run)
    if processes.first:
        learners = [actor] if critic is None else [actor, critic]
        weights = {f"{i}.{n}": p.detach().clone() for i, m in enumerate(learners) for n, p in m.named_parameters()}
        save_file(weights, Path(folder) / f"{name}.safetensors")
    return rows


SUPERVISED = {"sft": {}, "reward": {"micro_batch": 1}}  # 5 examples a step over 2 processes, of several lengths


def fine_tune(name, folder, processes=ALONE):
    """Three steps of SFT or of a reward model: as `train`."""
    config = SupervisedConfig(steps=3, batch=5, lr=1e-3, warmup=0, checkpoint_every=2, **SUPERVISED[name])
    model = without_dropout(build("llama", vocab_size=8, eos_token_id=0, pad_token_id=0))
    texts = ["ab", "abcd", "c", "gfedcba", "dd", "a", "ffff"]
    model = model if name == "sft" else ScalarModel.reward(model)
    if processes.rank:
        for p in model.parameters():
            p.data.add_(1.0)
    once = {"seed": 0, "resume": Path(folder) / f"{name}.run", "hardware": Hardware(processes=processes)}
    if name == "sft":
        run = sft(model, Letters(8), [Pair(x, x[::-1] * 2) for x in texts], config, **once)
    else:
        rankings = [Ranking(x, (x + "d", "a", "bb", "ccc")[: 2 + i % 3]) for i, x in enumerate(texts)]
        run = train_reward(model, Letters(8), rankings, config, **once)
    rows = list(run)
    if processes.first:
        save_file({n: p.detach().clone() for n, p in model.named_parameters()}, Path(folder) / f"{name}.safetensors")
    return rows


if __name__ == "__main__":
    torch.set_num_threads(1)
    here = Path(sys.argv[1])
    atexit.register(lambda: (here / f"alive.{os.environ['RANK']}").write_text(str(torch.distributed.is_initialized())))
    processes = start()
    for name in [*SETTINGS, *SUPERVISED]:
        rows = (train if name in SETTINGS else fine_tune)(name, here, processes)
        rows = [{k: v for k, v in row.items() if k != "seconds"} for row in rows]
        (here / f"{name}.{processes.rank}.json").write_text(json.dumps(rows))
    processes.end()
