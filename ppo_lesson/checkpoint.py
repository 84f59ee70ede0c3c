"""Save a run and go on from it, bit by bit the same: one safetensors file, tensors beside facts as JSON. No pickle.

What is in it is the trainer's business. A killed program leaves the last good checkpoint.
"""

import contextlib
import glob
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from .validate import refusal, refusing, require


def save(path, tensors: dict[str, Tensor], facts: dict) -> None:
    """Write `tensors` and `facts` (numbers, strings, lists, dicts, numpy arrays) to `path`, whole or not at all.

    A link is followed, "~" is your home, the file's rights stay what they were. Of two programs that write at once the
    later one wins. OSError if the disk is full or the like; what `path` held before is untouched then.
    """
    tensors = {name: x.detach().contiguous().clone() for name, x in tensors.items()}  # views share memory; files do not
    try:
        path = Path(path).expanduser().resolve()
        path.parent.mkdir(parents=True, exist_ok=True)
        require(path.is_file() or not path.exists(), OSError, "file", "no file")
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        save_file(tensors, part, metadata={"facts": json.dumps(facts, default=_encode)})
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        part.chmod(path.stat().st_mode if path.exists() else rights())  # safetensors gives none to others
        os.replace(part, path)
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:  # the last two: of names that cannot be
        with contextlib.suppress(OSError, UnboundLocalError):
            part.unlink()  # half a file would fill the disk for nothing; it may have no name yet
        held = "What it held before is untouched" if os.path.exists(path) else "It does not exist yet"
        raise OSError(refusal("file", "not written", path, error, held)) from error
    for left in path.parent.glob(f"{glob.escape(path.name)}.*part"):  # by programs that were killed
        with contextlib.suppress(OSError):  # another one writes just now
            if time.time() - left.stat().st_mtime > 600:
                left.unlink()


def rights() -> int:
    """Of any new file."""
    os.umask(mask := os.umask(0))
    return 0o666 & ~mask


def load(path, *, facts_only: bool = False) -> tuple[dict[str, Tensor], dict]:
    """What `save` wrote; facts_only: without the tensors. ValueError if the file is not complete, or something else."""
    broken = SafetensorError, OSError, TypeError, KeyError, ValueError
    with refusing(broken, ValueError, "file", "not whole", path), safe_open(Path(path).expanduser(), "pt") as file:
        facts = json.loads(file.metadata()["facts"], object_hook=_decode)
        return {name: file.get_tensor(name) for name in file.keys() if not facts_only}, facts  # noqa: SIM118


class Run:
    """A run that goes on where it stopped: its rows so far, all that a checkpoint holds, and every trainer's loop:

        run = Run(path, settings, modules, tensors, count=iterations, every=checkpoint_every)
        yield from map(dict, run.rows)  # of earlier sessions
        for iteration in run.iterations():
            if run.due(iteration):  # at a moment at which the models have shown that they work
                run.save()
            ...
            yield from run.add(row)

    path: the file, or None for a run that is not saved. settings: what must be the same when the run goes on.
    modules: name -> nn.Module. tensors: name -> tensor that changes in place, such as an optimizer's moments.
    controller: None, or an object whose only memory is `beta`. If the file exists, all of these take its values.
    count: iterations in all. every: iterations between two checkpoints. restarts: environments, which no file can hold,
    begin anew at each checkpoint: from there alone, or from the end, a run goes on bit by bit, and only there it saves.
    beside: a dict of facts that a trainer may fill; the file holds them too.
    """

    def __init__(self, path, settings, modules, tensors, controller=None, *, count, every=None, restarts=False):
        self.path = None if path is None else Path(path).expanduser().absolute()  # wherever we go meanwhile
        self.settings, self.modules, self.tensors, self.controller = settings, modules, tensors, controller
        self.count, self.every, self.restarts = count, every, restarts
        self.rows, self.saved, self.beside = [], None, {}
        if self.path is not None and self.path.exists():
            self._restore()

    def iterations(self) -> Iterator[int]:
        """The numbers of the iterations that are left. Saves the run when the last one is done."""
        yield from range(len(self.rows), self.count)
        self.save()

    def due(self, iteration: int) -> bool:
        """Whether a checkpoint lies before this iteration."""
        return bool(self.every and iteration and iteration % self.every == 0)

    def save(self) -> None:
        """Write the file, if there is one to write and something new to say."""
        if self.path is None or self.saved == len(self.rows):
            return
        facts = {"settings": self.settings, "rows": self.rows} | ({"beside": self.beside} if self.beside else {})
        facts |= {} if self.controller is None else {"beta": self.controller.beta}
        save(self.path, pack(self.modules) | self.tensors, facts)
        self.saved = len(self.rows)

    def add(self, row: dict, beside: dict | None = None) -> Iterator[dict]:
        """Remember a copy of `row`, and yield it with what stands `beside` it, which is not saved.

        A KeyboardInterrupt that its reader throws in here finds no iteration half done: the run is saved, if it can go
        on from here bit by bit (see `restarts`), and the error says what is safe. One that comes from within an
        iteration saves nothing.
        """
        self.rows.append(dict(row))
        try:
            yield row | (beside or {})
        except KeyboardInterrupt as error:
            if not self.restarts or self.due(len(self.rows)) or len(self.rows) == self.count:
                self.save()
            error.add_note(self.what_is_safe())
            raise

    def what_is_safe(self) -> str:
        """One sentence for an error message."""
        state = "not saved" if self.path is None else "nothing saved" if self.saved is None else "saved"
        return refusal("run", state, self.path, self.saved)

    def _restore(self) -> None:
        tensors, facts = load(self.path)
        check_settings(self.path, self.settings, facts)
        expected = pack(self.modules) | self.tensors
        shapes = [{name: (x.dtype, *x.shape) for name, x in each.items()} for each in (tensors, expected)]
        same_settings(self.path, *shapes)
        with torch.no_grad():
            for name, x in expected.items():
                x.copy_(tensors[name])
        if self.controller is not None:
            beta = facts.get("beta")
            require(isinstance(beta, int | float | np.ndarray), ValueError, "file", "no run", self.path)
            self.controller.beta = torch.from_numpy(beta) if isinstance(beta, np.ndarray) else beta
        self.rows, self.saved, self.beside = facts["rows"], len(facts["rows"]), facts.get("beside", {})


def check_settings(path, settings: dict, facts: dict | None = None) -> None:
    """ValueError if a file at `path` is another run's checkpoint, or none; TypeError for what is no path of a file."""
    good = path is None or (isinstance(path, str | os.PathLike) and str(path) and "://" not in str(path))
    require(good, TypeError, "file", "no path", path)
    if path is None or not Path(path).expanduser().exists():
        return
    facts = facts or load(path, facts_only=True)[1]
    good = isinstance(facts, dict) and isinstance(facts.get("settings"), dict) and isinstance(facts.get("rows"), list)
    require(good and all(isinstance(row, dict) for row in facts["rows"]), ValueError, "file", "no run", path)
    same_settings(path, facts["settings"], settings)


def same_settings(path, saved: dict, now: dict) -> None:
    """ValueError, naming every difference, unless the checkpoint at `path` belongs to the run of `now`."""
    names = sorted(name for name in saved.keys() | now.keys() if saved.get(name) != now.get(name))
    told = [f"{name} was {saved.get(name, 'absent')}, is now {now.get(name, 'absent')}" for name in names]
    require(not told, ValueError, "file", "another run", path, "; ".join(told))


def pack(modules: dict[str, nn.Module]) -> dict[str, Tensor]:
    """All parameters and buffers, not copied, under names like "policy.net.weights.0"."""
    return {f"{name}.{key}": x for name, module in modules.items() for key, x in module.state_dict().items()}


def _encode(x):
    """What JSON has no word for."""
    x = x.detach().cpu().numpy() if isinstance(x, Tensor) else x
    if isinstance(x, np.ndarray):
        return {"array": x.tolist(), "dtype": str(x.dtype)}
    if isinstance(x, np.generic):
        return x.item()
    raise TypeError(f"a checkpoint cannot hold a {type(x).__name__}: {x!r}")


def _decode(x: dict):
    return np.array(x["array"], dtype=x["dtype"]) if x.keys() == {"array", "dtype"} else x


def fresh_seed(seed: int, iteration: int) -> int:
    """The seed from which everything random starts anew at the checkpoint before `iteration`."""
    return int(np.random.SeedSequence([seed, iteration]).generate_state(1)[0])
