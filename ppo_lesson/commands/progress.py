"""Run a trainer to its end: numbers into files, a line of progress, sample replies, and a Ctrl-C that loses nothing."""

import io
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tqdm import tqdm  # it comes with transformers

from ..columns import COLUMNS
from . import ctrl_c
from .metrics import record
from .options import SHOW_EVERY
from .run_folder import saved

BAR = "[{bar:20}] {n_fmt}/{total_fmt}  {desc}  {remaining} left"


def follow(trainer: Iterator[dict], folder: Path, total: int, given: dict) -> tuple[list[dict], float]:
    """All rows, without their replies, and the seconds that this took. KeyboardInterrupt after a Ctrl-C, saved."""
    show = SHOW_EVERY if given.get("show_every") is None else given["show_every"]
    rows, start = [], time.monotonic()
    with _patient() as asked, closing(Progress(total, saved(folder))) as line:
        for row in record(trainer, folder / "metrics.jsonl", tensorboard=folder / "tensorboard"):
            replies = row.pop("replies", ())
            rows.append(row)
            line.show(row, len(rows))
            if show and replies and (len(rows) % show == 0 or len(rows) == 1):
                line.say("\n".join(f"  {prompt}\n    {score:+.2f}  {reply}" for prompt, reply, score, _ in replies[:2]))
            if asked and len(rows) < total:
                trainer.throw(KeyboardInterrupt)
    return rows, time.monotonic() - start


@contextmanager
def _patient() -> Iterator[list]:
    """A list that is filled by the first Ctrl-C; the second one interrupts at once."""
    asked: list[bool] = []

    def note(*_):
        if asked:
            raise KeyboardInterrupt
        asked.append(True)
        print("\nstopping after this iteration (Ctrl-C again: at once)", file=sys.stderr, flush=True)

    with ctrl_c(note):
        yield asked


class Progress:
    """One line that is written over again and again; where nobody watches, a line for each twentieth of the whole.

    total: rows in all; stored: those that come from a checkpoint, from which no time left follows. What is left follows
    from the average of all others so far.
    """

    def __init__(self, total: int, stored: int = 0):
        self.total, self.stored, self.watched = total, min(stored, total), sys.stderr.isatty()
        file = sys.stderr if self.watched else io.StringIO()  # str(bar) is the line, for those who keep it
        look = {"bar_format": BAR, "ascii": " #", "smoothing": 0, "miniters": 1, "leave": False}
        self.bar = tqdm(total=total, initial=self.stored, file=file, **look)

    def show(self, row: dict, done: int) -> None:
        """Say that `done` rows are there, and the numbers of the last one."""
        words = (c.progress.format(row[c.name]) for c in COLUMNS.values() if c.progress and c.name in row)
        self.bar.set_description_str("  ".join(words), refresh=False)
        if done > self.stored:
            self.bar.update()
            if not self.watched and (done % max(1, self.total // 20) == 0 or done == self.total):
                print(self.bar, file=sys.stderr, flush=True)

    def say(self, text: str) -> None:
        """Print `text` above the line."""
        self.bar.write(text, file=sys.stdout)
        sys.stdout.flush()

    def close(self) -> None:
        """Take the line away."""
        self.bar.close()
