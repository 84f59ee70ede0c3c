"""The output folder of a run: one run at a time, never a second one by mistake, and everything to go on with.

run.json            the command and its options         metrics.jsonl       a line for each iteration
run.safetensors     the last checkpoint                 tensorboard/        the same, if TensorBoard is installed
model/ or actor/, critic/    Hugging Face folders       report.md, summary.json, plots/    when it has ended
"""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ..checkpoint import load
from ..validate import refusal, refusing, require

FOLDERS = ("model", "actor", "critic", "plots", "tensorboard")
FILES = ("run.json", "run.safetensors", "metrics.jsonl", "summary.json", "report.md", ".lock")
MAY_CHANGE = ("output", "resume", "debug", "show_every", "threads")


@contextmanager
def opened(command: str, options: dict, *, alone: bool = True) -> Iterator[tuple[Path, dict]]:
    """The folder, which is ours alone until the end, and the options, completed with those the run began with.

    alone=False: one of the processes that only compute; the first one of them holds the folder.
    ValueError if another program works there, if a run is there and --resume was not said, or if it is another run.
    """
    folder = Path(options["output"]).absolute()  # wherever a reward function may go meanwhile
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise ValueError(f"--output {folder} is a file; name a folder") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"--output: this folder cannot be made ({error}); name one where you may write") from None
    wrong = [name for name in FOLDERS if (folder / name).is_file()] + [x for x in FILES if (folder / x).is_dir()]
    require(not wrong, ValueError, "command", "other kind", folder, wrong)  # better now than when the run has ended
    written = {(folder / name).resolve() for name in ("", *FOLDERS)}
    over = [x for x in ("model", "tokenizer", "reward") if options.get(x) and Path(options[x]).resolve() in written]
    require(not over, ValueError, "command", "over an input", folder, *over)
    with ExitStack() as held:
        with refusing(Timeout, ValueError, "command", "at work", folder):
            if alone:
                held.enter_context(FileLock(folder / ".lock", timeout=0))
        yield folder, _completed(command, folder, options)


def begin(command: str, folder: Path, options: dict, config) -> None:
    """From here on the folder holds this run."""
    write_json(folder / "run.json", {"command": command, "options": _said(options), "settings": repr(config)})


def saved(folder: Path) -> int:
    """How many iterations its checkpoint holds."""
    path = folder / "run.safetensors"
    return len(load(path, facts_only=True)[1]["rows"]) if path.exists() else 0


def write_json(path: Path, content: dict) -> None:
    """Whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")
    os.replace(part, path)


def _said(options: dict) -> dict:
    return {name: x for name, x in options.items() if x is not None and name not in MAY_CHANGE}


def _completed(command: str, folder: Path, options: dict) -> dict:
    path = folder / "run.json"
    if not options["resume"] and not saved(folder):  # nor is there anything to lose
        return options
    if not path.exists():
        if options["resume"]:
            print(f"There is nothing to go on with in {folder}: a new run begins.")
        return options
    with refusing((ValueError, KeyError, TypeError), ValueError, "command", "no run", path):
        run = json.loads(path.read_text("utf-8"))
        began, there = dict(run["options"]), run["command"]
    if not options["resume"]:
        raise ValueError(refusal("command", "run there", folder, there, saved(folder)))
    require(there == command, ValueError, "command", "another command", folder, there, command)
    new = {name: x for name, x in _said(options).items() if began.get(name) != x}
    told = [f"--{name.replace('_', '-')} was {began.get(name, 'not given')}, is now {x}" for name, x in new.items()]
    require(not told, ValueError, "command", "another run", folder, "; ".join(told))
    return options | began
