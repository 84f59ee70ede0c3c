"""The rows of a run as a file, one line of JSON each, while it runs; and in TensorBoard, if that is installed.

    for row in record(rlhf(config, ...), "runs/first/metrics.jsonl"):
        print(row["score"])

`pandas.read_json("metrics.jsonl", lines=True)` reads it. Left out: what is no number, such as rlhf's replies.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path


def record(rows: Iterable[dict], path, *, tensorboard=None) -> Iterator[dict]:
    """Pass on the rows of any trainer, and keep their numbers, lists and arrays of numbers in the file `path`.

    A run that goes on from its checkpoint tells its first rows again: lines that say the same are kept, and what a
    killed run wrote after its checkpoint is cut off. tensorboard: a folder for its event files; if `tensorboard`
    is not installed, nothing is written there.
    """
    path, writer = Path(path), None
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    with open(path, "r+b") as file:
        for count, row in enumerate(rows):
            numbers = {name: plain(x) for name, x in row.items() if _is_number(x)}
            line, place = (json.dumps(numbers) + "\n").encode(), file.tell()
            if file.readline() != line:
                file.seek(place)
                file.truncate()
                file.write(line)
                file.flush()
                writer = writer or _writer(tensorboard, count)
                for name, x in numbers.items() if writer else ():
                    if isinstance(x, int | float):
                        writer.add_scalar(name, x, row.get("iteration", row.get("step", count)))
            yield row
        file.truncate()
    if writer:
        writer.close()


def plain(x):
    """An array or a tensor as numbers and lists; everything else as it is."""
    return x.tolist() if hasattr(x, "tolist") else x


def _is_number(x) -> bool:
    x = plain(x)
    return isinstance(x, int | float) or (isinstance(x, list) and all(map(_is_number, x)))


def _writer(folder, step: int):
    """TensorBoard's, or None without a folder or without TensorBoard; what stands there from `step` on is hidden."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return None if folder is None else SummaryWriter(str(folder), purge_step=step)
