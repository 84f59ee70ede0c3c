"""One script for a GPU: is it right, does RLHF work there, how fast is it, how much memory does it take.

    python benchmarks/gpu.py --minutes 9      as much as fits, the most important first; benchmarks/results/gpu.json
    python benchmarks/gpu.py --tiny           all of it with small models, on a CPU too: what tests run
    python benchmarks/gpu.py --profile t4 --limit 15      computes as on a T4 (float16), with its memory; gpu-t4.json

Writes after every step, so that a cut leaves what was found; needs no network. A step that fails says so and the next
one begins; what was not run is named with its reason, and never right. Exit code 0: all that ran is right; 1: something
is wrong or failed; 2: no GPU, or a bad option; 130: Ctrl-C. Nothing of this file has run on a GPU yet.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import platform
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing of it asks the network

import torch
import transformers

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "notebooks"), str(ROOT / "benchmarks")]

from on_gpu import correctness, pipeline, speed  # noqa: E402

from course.desk import stages  # noqa: E402
from ppo_lesson.hardware.profile import GIB, choose, machine  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "gpu.json"


def lines(options, left: Callable[[], float]) -> list[tuple[str, Callable]]:
    """The lines of the speed table: (name, what measures it)."""
    about, found = speed.TINY if options.tiny else speed.HALF_BILLION, []
    shapes = [(4, 8)] if options.tiny else speed.SHAPES
    for batch, reply in shapes:
        for graph, lora in ((True, 0), (True, 16), (False, 0)):
            name = f"{batch} x {reply}, {'graph' if graph else 'eager'}, {f'LoRA {lora}' if lora else 'all weights'}"
            how = {"graph": graph, "lora": lora, "profile": options.profile}
            found.append((name, partial(speed.or_why, speed.measure, about, batch, reply, **how)))
        plain = partial(speed.or_why, speed.measure_plain, about, batch, reply)
        found.append((f"{batch} x {reply}, transformers alone", plain))
    for batch, reply in shapes:
        apart = partial(speed.trl_apart, batch, reply, tiny=options.tiny, limit=options.limit)
        found.append((f"{batch} x {reply}, TRL 1.12, all weights", lambda apart=apart: apart(seconds=left())))
    return found


def steps(options, left: Callable[[], float]) -> Iterator[tuple[str, str, dict | str]]:
    """(part, name, found), in the order of worth; a str says why there is nothing. left: seconds that are left."""
    here = {"static_decode": True, "lora_rank": 0}
    yield from whole("correctness", lambda: correctness.ask(choose(options.profile, machine(), **here), left))
    yield from _rlhf(options, left, 0)
    yield from _speed(options, left)
    for seed in () if options.tiny else (1, 2):  # further seeds come last
        yield from _rlhf(options, left, seed)


def whole(part: str, made: Callable[[], Iterable]) -> Iterator[tuple[str, str, dict | str]]:
    """What `made` gives, and why no more if it fails: the parts behind it may still work."""
    try:
        yield from ((part, name, found) for name, found in made())
    except torch.cuda.OutOfMemoryError as error:
        yield part, "stopped", f"failed: out of memory, {error}"
    except Exception as error:
        traceback.print_exc()
        yield part, "stopped", f"failed: {error!r}"


def _rlhf(options, left: Callable[[], float], seed: int) -> Iterator[tuple[str, str, dict | str]]:
    """The pipeline with one seed, unless too little time is left for it."""
    size, part, seconds = pipeline.SMALL if options.tiny else pipeline.Size(), f"rlhf, seed {seed}", left()
    if seconds < 0.9 * size.seconds:
        yield part, "stopped", f"not run: it takes {0.9 * size.seconds:.0f} s, and {max(0.0, seconds):.0f} s are left"
        return
    size, profile = replace(size, seconds=min(size.seconds, seconds)), choose(options.profile, lora_rank=0)
    yield from whole(part, lambda: pipeline.run(size, seed=seed, profile=profile))


def _speed(options, left: Callable[[], float]) -> Iterator[tuple[str, str, dict | str]]:
    longest = 0.0  # seconds that a line took
    for name, measured in lines(options, left):
        start = left()
        if start <= longest:
            yield "speed", name, f"not run: {max(0.0, start):.0f} s are left"
            continue
        yield "speed", name, measured()
        longest = max(longest, start - left())
        gc.collect()  # what a failed line still holds
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def goals(kept: dict, options) -> list[str]:
    """Each goal beside what was measured; nothing of what was not."""
    found, said = {name: x for name, x in kept["speed"].items() if isinstance(x, dict) and x.get("GiB")}, []
    planned = [x["planned GiB"] / x["GiB"] - 1 for x in found.values() if "planned GiB" in x]
    if planned:
        said.append(
            (max(map(abs, planned)) <= 0.15, f"plan of the memory, farthest off: {max(planned, key=abs):+.0%}", "15 %")
        )
    large = found.get("256 x 256, graph, all weights")
    if large and "H200" in (kept["hardware"]["gpu"] or "") and options.profile == "auto":
        for key, goal, good in (("tokens/s", 100_000, 1), ("iteration", 2.5, -1), ("GiB", 30, -1)):
            said.append((good * large[key] >= good * goal, f"256 x 256, {key}: {large[key]:,.1f}", f"{goal:,}"))
    t4 = found.get("64 x 128, graph, LoRA 16")
    if t4 and options.profile == "t4":
        said.append((t4["GiB"] <= 15, f"64 x 128 as on a T4, GiB: {t4['GiB']:.1f}", "15"))
    return [f"{'kept  ' if kept else 'MISSED'} {words} (goal {goal})" for kept, words, goal in said]


VERDICT = {True: "right", False: "WRONG", None: "-"}


def told(part: str, name: str, found: dict | str) -> str:
    """A line of what is printed."""
    if part == "speed":
        return speed.row(name, found)
    if isinstance(found, str):
        return f"      {part}: {found}"
    if part == "correctness":
        numbers = [f"{k} {x:.3g}" for k, x in found.items() if isinstance(x, float | int) and k != "right"]
        numbers += [found["error"]] if "error" in found else []
        numbers += [f"without {found['without']}"] if "without" in found else []
        return f"{VERDICT[found['right']]:6}{name}: {', '.join(numbers)}"
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
    about |= {"python": platform.python_version(), "date": time.strftime("%Y-%m-%d"), "minutes": options.minutes}
    return about | {"model": speed.TINY if options.tiny else speed.HALF_BILLION, "prompt": speed.PROMPT}


def options_of(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--minutes", type=float, help="time for all of it (9; with --tiny 60)")
    parser.add_argument("--tiny", action="store_true", help="small models; nothing is written without --output")
    parser.add_argument("--profile", choices=("auto", "t4", "gpu"), default="auto")
    parser.add_argument("--limit", type=float, metavar="GIB", help="of the GPU's memory")
    parser.add_argument("--output", type=Path, help=f"the file with the results ({RESULT.relative_to(ROOT)})")
    options, here = parser.parse_args(argv), machine()
    if options.minutes is None:
        options.minutes = 60.0 if options.tiny else 9.0
    for name in ("minutes", "limit"):
        if (x := getattr(options, name)) is not None and not 0 < x < math.inf:
            parser.error(f"--{name} must be above 0; got {x:g}")
    if here.gpu is None:
        if not options.tiny:
            parser.error(
                f"this script needs a CUDA GPU: {here.missing}. --tiny runs its code with small models on the CPU"
            )
        named = [
            f"--{name} {x}" for name in ("profile", "limit") if (x := getattr(options, name)) not in ("auto", None)
        ]
        if named:
            parser.error(f"{' and '.join(named)}: needs a CUDA GPU, and {here.missing}: leave it out")
    if options.output is None and not options.tiny:
        options.output = RESULT if options.profile == "auto" else RESULT.with_stem(f"gpu-{options.profile}")
    return options


def write(file: Path | None, kept: dict) -> None:
    """In one step: a kill while it writes leaves the file as it was."""
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        new = file.with_suffix(".partial")
        new.write_text(json.dumps(kept, indent=1, default=str) + "\n", "utf-8")
        new.replace(file)


def main(argv=None) -> int:
    options = options_of(argv)
    end = time.perf_counter() + 60 * options.minutes
    speed.limit_memory(options.limit)
    file = options.output
    if file is not None and file.exists():
        old = file.with_stem(file.stem + "-before")
        print(f"{file} of an earlier run is kept as {old}")
        file.replace(old)
    kept = {"hardware": hardware(options), "printed": [], "correctness": {}, "speed": {}}
    failed, clock = False, time.perf_counter()

    def say(line: str):
        kept["printed"].append(line)
        print(line, flush=True)

    try:
        for part, name, found in steps(options, lambda: end - time.perf_counter()):
            if part == "speed" and not kept["speed"]:
                say(speed.header())
            kept.setdefault(part, {})[name] = found
            failed |= found.startswith("failed") if isinstance(found, str) else found.get("right") is False
            say(told(part, name, found) + f"   [{time.perf_counter() - clock:.0f} s]")
            clock = time.perf_counter()
            write(file, kept)
        for line in goals(kept, options):
            say(line)
    except KeyboardInterrupt:
        kept["stopped by"] = "Ctrl-C"
        say("stopped by Ctrl-C")
    write(file, kept)
    return 130 if "stopped by" in kept else int(failed)


if __name__ == "__main__":
    sys.exit(main())
