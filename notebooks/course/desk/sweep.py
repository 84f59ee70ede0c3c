"""PPO on the help desk under many settings and seeds, judged by the gold score that none of the models sees.

    python -m course sweep                        every run that is missing, then data/sweep.json and the tables
    python -m course sweep --only "beta 0.1"      the runs of one setting
    python -m course sweep --jobs 2               two at a time, one thread each
    python -m course sweep --finished             the file and the tables of the runs that there are

Each finished run lies in runs/sweep, so that a killed sweep goes on with the next one. `train` is one run; notebook 14
and a test make one again and compare it with the file.
"""

from __future__ import annotations

import copy
import json
import math
import os
import platform
import random
import time
import tomllib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from statistics import mean

import torch

from ppo_lesson import columns
from ppo_lesson.checkpoint import fresh_seed
from ppo_lesson.hardware.hardware import CPU, Hardware
from ppo_lesson.hardware.profile import Profile, roles
from ppo_lesson.kl import FixedKL, ZieglerKL
from ppo_lesson.language.data import read_prompts
from ppo_lesson.language.models import Models, ScalarModel, device, load_language_model
from ppo_lesson.language.rlhf import RLHFConfig, rlhf
from ppo_lesson.language.rollout import roll_out
from ppo_lesson.language.sampling import token_logps
from ppo_lesson.language.text import load_tokenizer, prompt_ids, reply_ids

from . import world
from .gold import gold
from .make import DATA, ROOT, documents, shipped

FILE, FINISHED = DATA / "sweep.json", ROOT / "runs" / "sweep"
HELD, EVERY, SHOWN = 256, 10, 4  # held-out prompts; iterations between two looks at them; samples kept, each language
COLUMNS = [name for name in columns.COLUMNS if name not in ("return_mean", "grad_norm", "ratio_error")]  # those kept


def _kl(price) -> FixedKL | ZieglerKL | None:
    """What a table says of the price of KL: a fixed one, none, or Ziegler's settings."""
    return ZieglerKL(**price) if isinstance(price, dict) else FixedKL(price) if price else None


SETTINGS = {  # name -> changes of RLHFConfig()
    name: {key: _kl(x) if key == "kl" else x for key, x in change.items()}
    for name, change in tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8")).items()
}


@dataclass
class Desk:
    """Everything a run starts from, as `make` left it in data/. held: prompts of cases that no model has seen."""

    tokenizer: object
    policy: object
    judge: ScalarModel
    prompts: list[str]
    held: list[str]
    plain: list[str] = field(default_factory=list)


def load_desk() -> Desk:
    """The shipped models, the help desk's prompts of ppo_data.jsonl, and 256 prompts on held-out cases."""
    rng = random.Random(9)
    return Desk(
        load_tokenizer(shipped("tokenizer")),
        load_language_model(shipped("sft_model")),
        ScalarModel.load(shipped("reward_model")),
        [prompt for prompt in read_prompts(shipped("ppo_data.jsonl")) if world.read_prompt(prompt)],
        [world.prompt(world.draw_case(rng, unseen=True), rng) for _ in range(HELD)],
        documents(2_000),
    )


def train(
    desk: Desk, config: RLHFConfig, *, every: int = EVERY, profile: Profile = CPU.profile, seconds: float = math.inf
) -> Iterator[dict]:
    """One run of `rlhf` from copies of desk.policy, with the gold score beside the reward model's.

    Yields its rows with `gold`, the mean over the replies, and its CPU `seconds`; and before the first row, after
    every `every` rows and at the end, a dict {"held": facts, "samples": {prompt: [reply, score, gold]}} of `look`.
    seconds: of the wall clock, after which no iteration begins.
    """
    hardware, group, end = Hardware(profile), config.advantages == "group", time.perf_counter() + seconds
    actor, critic, reference = roles(copy.deepcopy(desk.policy), profile, seed=config.seed, critic=not group)
    desk = replace(desk, policy=reference)
    yield {"iteration": 0} | look(desk, actor, config, hardware)
    run = rlhf(
        config,
        Models(actor, critic, reference, desk.judge),
        desk.prompts,
        tokenizer=desk.tokenizer,
        documents=desk.plain if config.ptx_coef else (),
        hardware=hardware,
    )
    start = time.process_time()
    for row in run:
        row["seconds"] = time.process_time() - start
        yield row | {"gold": mean(worth(prompt, reply, ended) for prompt, reply, _, ended in row["replies"])}
        done, late = row["iteration"] + 1, time.perf_counter() > end
        if done % every == 0 or done == config.iterations or late:
            yield {"iteration": done} | look(desk, actor, config, hardware)
        if late:
            return
        start = time.process_time()


def worth(prompt: str, reply: str, ended: bool = True) -> float:
    """The gold score of a reply to a prompt of the help desk."""
    return gold(world.read_prompt(prompt), reply, ended=ended).total


@torch.no_grad()
def look(desk: Desk, actor, config: RLHFConfig, hardware: Hardware = CPU) -> dict:
    """One reply to each held-out prompt: means, and the first replies in each language.

    {"held": {"score", "gold", "gold_sd", "kl_ref", "length", "ended", "right tip", "rude", "plain loss"}, "samples"}.
    """
    prompts = [(text, prompt_ids(desk.tokenizer, text)) for text in desk.held]
    generator = torch.Generator().manual_seed(9)
    config = replace(config, score_clip=None, no_eos_penalty=0.0)
    models = Models(actor, None, desk.policy, desk.judge)
    out = roll_out(models, desk.tokenizer, prompts, config, generator, hardware=hardware)
    golds = [gold(world.read_prompt(p), x, ended=e) for p, x, e in zip(out.prompts, out.texts, out.ended.tolist())]
    totals = torch.tensor([g.total for g in golds])
    facts = {
        "score": out.scores.mean().item(),
        "gold": totals.mean().item(),
        "gold_sd": totals.std().item(),
        "kl_ref": out.kl_ref.mean().item(),
        "length": out.mask.sum(-1).float().mean().item(),
        "ended": out.ended.float().mean().item(),
        "right tip": mean("right tip" in g.counts for g in golds),
        "rude": mean("rude" in g.counts for g in golds),
    }
    with hardware.forward():
        facts["plain loss"] = plain_loss(actor, desk.tokenizer)
    rows = list(zip(out.prompts, out.texts, out.scores.tolist(), totals.tolist()))
    shown = [row for english in (True, False) for row in [r for r in rows if r[0].isascii() == english][:SHOWN]]
    return {"held": facts, "samples": {prompt: [text, s, g] for prompt, text, s, g in shown}}


@torch.no_grad()
def plain_loss(model, tokenizer, *, count: int = 200, width: int = 64) -> float:
    """Nats a token on plain texts like those of pretraining, that nobody trained on: what fine-tuning makes forget."""
    stream = torch.tensor([i for text in documents(count, seed=77) for i in reply_ids(tokenizer, text)])
    ids = stream[: len(stream) // width * width].view(-1, width).to(device(model))
    return -token_logps(model, ids, torch.ones_like(ids), width - 1).mean().item()


@torch.no_grad()
def best_of_n(desk: Desk, *, most: int = 64) -> dict[str, list[float]]:
    """Of n replies the one that the reward model likes best: {"n", "kl", "score", "gold"}, held-out prompts.

    kl: log n - (n - 1)/n, an upper bound. Every prompt has `most` replies; score and gold are means over all their
    subsets of n, so that no curve depends on which n came first.
    """
    prompts = [(text, prompt_ids(desk.tokenizer, text)) for text in desk.held]
    scores, golds = [], []
    models = Models(desk.policy, None, desk.policy, desk.judge)
    for turn in range(most):
        generator = torch.Generator().manual_seed(fresh_seed(9, turn))
        out = roll_out(models, desk.tokenizer, prompts, RLHFConfig(), generator)
        scores.append(out.scores)
        golds.append(torch.tensor([worth(*x) for x in zip(out.prompts, out.texts, out.ended.tolist())]))
    scores, order = torch.stack(scores, -1).sort(-1)  # (prompts, most), the worst first
    golds = torch.stack(golds, -1).gather(-1, order)
    table = {"n": [2**i for i in range(int(math.log2(most)) + 1)], "kl": [], "score": [], "gold": []}
    for n in table["n"]:
        wins = torch.tensor([math.comb(k, n - 1) / math.comb(most, n) for k in range(most)])  # place k is the best of n
        table["kl"].append(math.log(n) - (n - 1) / n)
        table["score"].append((scores * wins).sum(-1).mean().item())
        table["gold"].append((golds * wins).sum(-1).mean().item())
    return table


# ---- the sweep -------------------------------------------------------------------------------------------------------


def one_run(name: str, seed: int, desk: Desk | None = None) -> dict:
    """One setting and seed, from start to end, as the file holds it."""
    torch.set_num_threads(1)
    desk, config = desk or load_desk(), replace(RLHFConfig(seed=seed), **SETTINGS[name])
    start = time.process_time()
    run = recorded(train(desk, config))
    return {"name": name, "seed": seed, "seconds": time.process_time() - start} | run


def recorded(run: Iterator[dict]) -> dict:
    """What `train` yields, as files hold it: {"stopped": why or None, "rows": {column: numbers}, "looks": [look]}."""
    rows, looks, stopped = [], [], None
    try:
        for row in run:
            (looks if "held" in row else rows).append(row)
    except FloatingPointError as error:  # some settings break the run, and that is what they are here to show
        stopped = str(error)
    columns = {c: [row.get(c) for row in rows] for c in COLUMNS if any(c in row for row in rows)}
    return {"stopped": stopped, "rows": columns, "looks": looks}


def sweep(names: list[str], seeds: list[int], *, jobs: int = 1, finished: bool = False) -> list[dict]:
    """All runs of these settings and seeds: those that are finished from their files, the others now, or not at all."""
    FINISHED.mkdir(parents=True, exist_ok=True)
    wanted = {(name, seed): FINISHED / f"{name}, seed {seed}.json" for name in names for seed in seeds}
    missing = [] if finished else [key for key, path in wanted.items() if not path.exists()]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(one_run, *key): key for key in missing}
        for i, future in enumerate(as_completed(futures), 1):
            run = future.result()
            write_rounded(wanted[futures[future]], run)
            print(f"{i}/{len(missing)} {run['name']}, seed {run['seed']}: {run['seconds']:.0f} s", flush=True)
    return [json.loads(path.read_text("utf-8")) for path in wanted.values() if path.exists()]


def table(runs: list[dict]) -> str:
    """One line a setting, at the end of its runs: held-out means over the seeds, and the range of gold."""
    lines = [f"{'':24}{'seeds':>6}{'score':>8}{'gold':>8}{'lowest':>8}{'KL':>7}{'tip':>6}{'rude':>6}{'plain loss':>12}"]
    for name in dict.fromkeys(run["name"] for run in runs):
        ends = [run["looks"][-1]["held"] for run in runs if run["name"] == name]
        about = {key: mean(end[key] for end in ends) for key in ends[0]}
        lines.append(
            f"{name:24}{len(ends):6}{about['score']:8.2f}{about['gold']:8.2f}{min(e['gold'] for e in ends):8.2f}"
            f"{about['kl_ref']:7.1f}{about['right tip']:6.2f}{about['rude']:6.3f}{about['plain loss']:12.2f}"
        )
    return "\n".join(lines)


def write_rounded(path: Path, what: dict) -> None:
    """`what` as JSON, with numbers of four digits, in one go: a cut leaves the old file."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(_rounded(what), ensure_ascii=False) + "\n", "utf-8")
    os.replace(part, path)


def _rounded(x):
    """Four digits are more than the noise; the file stays small, and a KL of 1e-7 stays what it is."""
    if isinstance(x, float):
        return round(x, 4) if abs(x) >= 0.01 else float(f"{x:.3g}")
    if isinstance(x, dict):
        return {key: _rounded(value) for key, value in x.items()}
    return [_rounded(value) for value in x] if isinstance(x, list | tuple) else x


def main(names: list[str] | None, seeds: list[int], jobs: int, finished: bool = False) -> None:
    """Run what is missing, write data/sweep.json (if every setting is there), print the tables."""
    unknown = set(names or ()) - set(SETTINGS)
    if unknown:
        raise ValueError(f"--only: no setting named {sorted(unknown)}; there are {', '.join(SETTINGS)}")
    runs = sweep(names or list(SETTINGS), seeds, jobs=jobs, finished=finished)
    print(table(runs))
    if not names:
        desk = load_desk()
        facts = {
            "command": "python -m course sweep --seeds " + " ".join(map(str, seeds)),
            "torch": torch.__version__,
            "machine": platform.machine(),
            "settings": {name: {key: repr(x) for key, x in change.items()} for name, change in SETTINGS.items()},
            "best of n": best_of_n(desk),
            "plain loss": {
                "pretrained": plain_loss(load_language_model(shipped("pretrained")), desk.tokenizer),
                "fine-tuned": plain_loss(desk.policy, desk.tokenizer),
            },
            "runs": runs,
        }
        write_rounded(FILE, facts)
        print(f"written: {FILE}")
