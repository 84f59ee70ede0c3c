"""One script for a GPU: is it right, does RLHF work there, how fast is it, how much memory does it take.

    python benchmarks/gpu.py --minutes 9      as much as fits, the most important first; benchmarks/results/gpu.json
    python benchmarks/gpu.py --tiny           all of it with small models, on a CPU too: what tests run
    python benchmarks/gpu.py --profile t4 --limit 15      computes as on a T4 (float16, LoRA), with its memory

Writes after every step, so that a cut leaves what was found; needs no network. Goals on an H200 at 256 replies of 256
tokens: 100,000 tokens/s of decoding, 2.5 s an iteration, 30 GiB at most, the plan of the memory within 15 %.
Nothing of this file has run on a GPU yet.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
import transformers

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "notebooks"), str(ROOT / "benchmarks")]

from on_gpu import correctness, pipeline, speed  # noqa: E402

from course.desk import stages  # noqa: E402
from ppo_lesson.hardware.profile import GIB, machine  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "gpu.json"


def lines(options) -> list[tuple[str, Callable]]:
    """The lines of the speed table: (name, what measures it)."""
    about, found = speed.TINY if options.tiny else speed.HALF_BILLION, []
    for batch, reply in [(4, 8)] if options.tiny else speed.SHAPES:
        for graph, lora in ((True, 0), (True, 16), (False, 0)):
            name = f"{batch} x {reply}, {'graph' if graph else 'eager'}, {f'LoRA {lora}' if lora else 'all weights'}"
            how = {"graph": graph, "lora": lora, "profile": options.profile}
            found.append((name, lambda b=batch, r=reply, how=how: speed.or_why(speed.measure, about, b, r, **how)))
        plain = lambda b=batch, r=reply: speed.or_why(speed.measure_plain, about, b, r)  # noqa: E731
        found.append((f"{batch} x {reply}, transformers alone", plain))
    return found


def steps(options, left: Callable[[], float]) -> Iterator[tuple[str, str, dict | str]]:
    """(part, name, found), in the order of worth. left: seconds that are left."""
    for name, found in correctness.ask():
        yield "correctness", name, found
    yield from _rlhf(options, left, 0)
    yield from _speed(options, left)
    for seed in () if options.tiny else (1, 2):  # further seeds come last
        yield from _rlhf(options, left, seed)


def _rlhf(options, left: Callable[[], float], seed: int) -> Iterator[tuple[str, str, dict | str]]:
    """The pipeline with one seed, unless too little time is left for it."""
    size = pipeline.SMALL if options.tiny else pipeline.Size()
    if left() >= 0.9 * size.seconds:
        for stage, found in pipeline.run(replace(size, seconds=min(size.seconds, left())), seed=seed):
            yield f"rlhf, seed {seed}", stage, found


def _speed(options, left: Callable[[], float]) -> Iterator[tuple[str, str, dict | str]]:
    for name, measured in lines(options):
        if left() > 0:
            yield "speed", name, measured()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
    for batch, reply in [(4, 8)] if options.tiny else speed.SHAPES:
        if left() > 0:
            found = speed.trl_apart(batch, reply, tiny=options.tiny, limit=options.limit)
            yield "speed", f"{batch} x {reply}, TRL 1.12, all weights", found


def told(part: str, name: str, found: dict | str) -> str:
    """A line of what is printed."""
    if part == "speed":
        return speed.row(name, found)
    if part == "correctness":
        numbers = ", ".join(f"{k} {x:.3g}" for k, x in found.items() if isinstance(x, float | int) and k != "right")
        return f"{'right' if found['right'] else 'WRONG':6}{name}: {numbers}"
    if "looks" in found:
        way = f"{len(found['rows']['score'])} iterations, held out: {stages.change(found['looks'])}"
        return f"      {part}, {name}: {way}; {found['seconds']:.0f} s"
    numbers = ", ".join(f"{k} {x:.3g}" for k, x in found.items() if isinstance(x, float | int))
    return f"      {part}, {name}: {numbers}"


def hardware(options) -> dict:
    here = machine()
    about = {"gpu": here.gpu, "GiB": here.memory and here.memory / GIB, "limit GiB": options.limit}
    about |= {"capability": here.capability, "cores": os.cpu_count(), "torch": torch.__version__}
    about |= {"cuda": torch.version.cuda, "transformers": transformers.__version__, "profile": options.profile}
    return about | {"python": platform.python_version(), "model": speed.HALF_BILLION, "prompt": speed.PROMPT}


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--minutes", type=float, default=9.0, help="time for all of it (9)")
    parser.add_argument("--tiny", action="store_true", help="small models; nothing is written without --output")
    parser.add_argument("--profile", choices=("auto", "t4", "gpu"), default="auto")
    parser.add_argument("--limit", type=float, metavar="GIB", help="of the GPU's memory")
    parser.add_argument("--output", type=Path, help=f"the file with the results ({RESULT.relative_to(ROOT)})")
    options = parser.parse_args(argv)
    end = time.perf_counter() + 60 * options.minutes
    here = machine()
    if here.gpu is None and not options.tiny:
        print("this script needs a CUDA GPU; --tiny runs its code with small models on the CPU")
        return 0
    if here.gpu is None and options.profile != "auto":
        parser.error(f"--profile {options.profile} needs a CUDA GPU, and there is none here: leave it out")
    speed.limit_memory(options.limit)
    file = options.output or (None if options.tiny else RESULT)
    kept = {"hardware": hardware(options), "correctness": {}, "speed": {}}
    failed, clock = False, time.perf_counter()
    todo = steps(options, lambda: end - time.perf_counter())
    while True:
        try:
            part, name, found = next(todo)
        except StopIteration:
            break
        except Exception as error:  # what was found so far counts all the same
            traceback.print_exc()
            kept["stopped by"], failed = repr(error), True
            break
        kept.setdefault(part, {})[name] = found
        if part == "correctness":
            failed |= not found["right"]
        print(told(part, name, found) + f"   [{time.perf_counter() - clock:.0f} s]", flush=True)
        clock = time.perf_counter()
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(kept, indent=1, default=str) + "\n", "utf-8")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
