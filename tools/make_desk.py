"""Make everything in data/ that the language notebooks start from: texts, tokenizer, and three small models.

    python tools/make_desk.py                      all of it, with a table of times and qualities
    python tools/make_desk.py --seeds 0 1 2        the same for three seeds; only the first is saved in data/
    python tools/make_desk.py --texts-only         the text files alone (a test compares them byte for byte)

Quality is measured on held-out cases, which no training text contains. A killed run goes on where it was if you give
the same command again: what is unfinished lies in runs/language.
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
import random
import shutil
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from statistics import mean

import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "notebooks")]  # whatever is installed

from course.desk import world  # noqa: E402
from course.desk.make import DATA, demonstrations, documents, shipped  # noqa: E402
from course.desk.measure import LONGEST, REPLIES, agreement, make_rankings, quality, reward_quality  # noqa: E402
from course.desk.tiny import PRETRAIN, pretrain, tiny_llama, train_tokenizer  # noqa: E402
from ppo_lesson.language.data import write  # noqa: E402
from ppo_lesson.language.models import ScalarModel  # noqa: E402
from ppo_lesson.language.reward import REWARD, normalize, train_reward  # noqa: E402
from ppo_lesson.language.supervised import SFT, sft  # noqa: E402
from ppo_lesson.language.text import load_tokenizer  # noqa: E402

UNFINISHED = ROOT / "runs" / "language"
DOCUMENTS, DEMONSTRATIONS, RANKED, HELD = 30_000, 8_000, 3_000, 400
CUSTOMERS = 300  # help-desk prompts in ppo_data.jsonl

# ---- texts -----------------------------------------------------------------------------------------------------------


def make_texts(folder: Path = DATA) -> None:
    """ppo_data.jsonl (prompts) and sft.jsonl (demonstrations); rankings need a model and come later.

    Questions were written by hand: they stand in the course's ppo_data.jsonl, and are kept. Customers are drawn.
    """
    rng, desk = random.Random(7), {}
    while len(desk) < CUSTOMERS:  # by text, so that none comes twice
        case = world.draw_case(rng)
        desk[world.prompt(case, rng)] = case.language
    rows = [json.loads(line) for line in shipped("ppo_data.jsonl").read_text("utf-8").splitlines()]
    rows = [row for row in rows if row["kind"] == "question"]
    rows += [{"prompt": text, "kind": "help desk", "language": language} for text, language in desk.items()]
    write(folder / "ppo_data.jsonl", rows)
    pairs = demonstrations(DEMONSTRATIONS, seed=11)
    write(folder / "sft.jsonl", [{"prompt": p.prompt, "reply": p.reply} for p in pairs])


def make_tokenizer():
    """The course's tokenizer, from texts of every kind."""
    pairs = demonstrations(3_000, seed=5)
    return train_tokenizer([*documents(8_000, seed=4), *(p.prompt for p in pairs), *(" " + p.reply for p in pairs)])


# ---- models ----------------------------------------------------------------------------------------------------------


def make_models(tokenizer, folder: Path | None = None, *, seed: int = 0) -> dict[str, float]:
    """Pretrain, fine-tune, rank, learn the reward. Saves all in `folder`, if one is given. Returns what was measured.

    Measured values are named "stage: what". "seconds" are of the wall clock, "cpu seconds" of the processor, without
    the measuring. A stage that a killed run had begun has none.
    """
    measured = {}

    def stage(name, trainer, model, examples, config):
        path = UNFINISHED / f"seed-{seed}-{name.replace(' ', '-')}.safetensors"
        resumed, start, row = path.exists(), _clocks(), {}
        for row in trainer(model, tokenizer, examples, replace(config, checkpoint_every=100), seed=seed, resume=path):
            if row["step"] % 100 == 0:
                print(f"  seed {seed}  {name:12} step {row['step']:5d}  loss {row['loss']:.3f}", flush=True)
        measured[f"{name}: loss"] = row["loss"]
        if not resumed:
            measured.update(_seconds(name, start))

    model = tiny_llama(len(tokenizer), seed=seed)
    stage("pretraining", pretrain, model, documents(DOCUMENTS), PRETRAIN)
    measured |= _named("pretraining", quality(model, tokenizer))
    pretrained = copy.deepcopy(model)
    stage("fine-tuning", sft, model, demonstrations(DEMONSTRATIONS, seed=11), SFT)
    measured |= _named("fine-tuning", quality(model, tokenizer))
    measured["fine-tuning: gold, training cases"] = quality(model, tokenizer, unseen=False)["gold"]

    start = _clocks()
    rankings = make_rankings(model, tokenizer, RANKED, seed=seed + 100)
    measured |= _seconds("rankings", start)
    measured["rankings: count"] = len(rankings)
    measured["rankings: agreement with gold"] = agreement(rankings)
    measured["rankings: share of replies cut"] = mean(len(r.cut) for r in rankings) / REPLIES

    reward = ScalarModel.reward(model, seed=seed)
    stage("reward model", train_reward, reward, rankings, REWARD)
    normalize(reward, tokenizer, rankings[:500])
    held = make_rankings(model, tokenizer, HELD, seed=seed + 200, unseen=True)
    measured |= _named("reward model", reward_quality(reward, tokenizer, held))
    if folder is not None:
        pretrained.save_pretrained(folder / "pretrained")
        model.save_pretrained(folder / "sft_model")
        write(folder / "rankings.jsonl", [ranking.row() for ranking in rankings])
        reward.save(folder / "reward_model")
    return measured


def _clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _seconds(stage: str, start: tuple[float, float]) -> dict[str, float]:
    wall, cpu = (now - then for now, then in zip(_clocks(), start))
    return {f"{stage}: seconds": wall, f"{stage}: cpu seconds": cpu}


def _named(stage: str, values: dict[str, float]) -> dict[str, float]:
    return {f"{stage}: {name}": value for name, value in values.items()}


# ---- the command -----------------------------------------------------------------------------------------------------


def table(runs: dict[int, dict[str, float]]) -> str:
    """What was measured: a row for each value, a column for each seed, the mean last."""
    lines = [f"{'':36}" + "".join(f"{f'seed {seed}':>10}" for seed in runs) + f"{'mean':>10}"]
    for name in next(iter(runs.values())):
        values = [run.get(name) for run in runs.values()]
        known = [value for value in values if value is not None]
        cells = [f"{value:10.3f}" if value is not None else f"{'resumed':>10}" for value in [*values, mean(known)]]
        lines.append(f"{name:36}" + "".join(cells))
    return "\n".join(lines)


def _report(options, runs: dict[int, dict[str, float]]) -> None:
    """Write language.json: what was measured, and on what."""
    facts = {
        "command": "python tools/make_desk.py --seeds " + " ".join(map(str, options.seeds)),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "threads": options.threads,
        "longest reply": LONGEST,
        "held-out prompts": HELD,
        "settings": {"pretraining": asdict(PRETRAIN), "fine-tuning": asdict(SFT), "reward model": asdict(REWARD)},
        "seeds": {seed: {name: round(value, 4) for name, value in run.items()} for seed, run in runs.items()},
    }
    (options.folder / "language.json").write_bytes((json.dumps(facts, indent=1) + "\n").encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts-only", action="store_true")
    parser.add_argument("--folder", type=Path, default=DATA, help="where to write (default: the course's data/)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="the first one's models are saved")
    parser.add_argument("--threads", type=int, default=1, help="torch threads (default: 1)")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    make_texts(options.folder)
    if options.texts_only:
        return
    start = time.perf_counter()
    make_tokenizer().save_pretrained(options.folder / "tokenizer")
    tokenizer = load_tokenizer(options.folder / "tokenizer")
    print(f"tokenizer: {len(tokenizer)} tokens, {time.perf_counter() - start:.0f} s, and the texts")
    torch.set_num_threads(options.threads)
    runs = {}
    for seed in options.seeds:
        runs[seed] = make_models(tokenizer, None if runs else options.folder, seed=seed)
        _report(options, runs)
    print(table(runs))
    for seed, run in runs.items():
        wall, cpu = (sum(x for name, x in run.items() if name.endswith(f": {what}seconds")) for what in ("", "cpu "))
        print(f"seed {seed}: {wall:.0f} s, {cpu:.0f} s of the processor, on {options.threads} threads")
    shutil.rmtree(UNFINISHED, ignore_errors=True)


if __name__ == "__main__":
    main()
