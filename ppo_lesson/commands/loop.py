"""Run a trainer to its end: numbers into files, a line of progress, sample replies, and a Ctrl-C that loses nothing."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..columns import COLUMNS
from ..metrics import record


def loop(trainer: Iterator[dict], folder: Path, total: int, given: dict) -> tuple[list[dict], float]:
    """All rows, without their replies, and the seconds that this took. KeyboardInterrupt after a Ctrl-C, saved."""
    show = 10 if given["show_every"] is None else given["show_every"]
    rows, start, line = [], time.monotonic(), _Line(total)
    with _patient() as asked:
        for row in record(trainer, folder / "metrics.jsonl", tensorboard=folder / "tensorboard"):
            replies = row.pop("replies", ())
            rows.append(row)
            line.show(row, len(rows))
            if show and replies and (len(rows) % show == 0 or len(rows) == 1):
                line.say("\n".join(f"  {prompt}\n    {score:+.2f}  {reply}" for prompt, reply, score, _ in replies[:2]))
            if asked and len(rows) < total:
                trainer.throw(KeyboardInterrupt)
    line.say("")
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

    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)


class _Line:
    """One line that is written over again and again; where nobody watches, a line now and then."""

    def __init__(self, total: int):
        self.total, self.last, self.lasts, self.tty = total, time.monotonic(), deque(maxlen=20), sys.stderr.isatty()
        self.width = 0

    def show(self, row: dict, done: int) -> None:
        now = time.monotonic()
        if now - self.last > 1e-3:  # rows from a checkpoint come faster
            self.lasts.append(now - self.last)
        self.last = now
        left = (self.total - done) * sum(self.lasts) / max(1, len(self.lasts))
        words = "  ".join(c.progress.format(row[c.name]) for c in COLUMNS.values() if c.progress and c.name in row)
        text = f"[{'#' * (20 * done // self.total):20}] {done}/{self.total}  {words}  {_clock(left)} left"
        if self.tty:
            print("\r" + text.ljust(self.width), end="", file=sys.stderr, flush=True)
            self.width = len(text)
        elif done % max(1, self.total // 20) == 0 or done == self.total:
            print(text, file=sys.stderr, flush=True)

    def say(self, text: str) -> None:
        if self.tty:
            print("\r" + " " * self.width + "\r", end="", file=sys.stderr, flush=True)
        if text:
            print(text, flush=True)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}" if minutes >= 60 else f"{minutes}:{seconds:02}"
