"""python -m ppo_lesson sft | reward | rlhf: the trainers of `ppo_lesson.language` on your own data and models."""

import os
import signal
import threading
from contextlib import contextmanager

STOPPED = 130  # the exit status of a Ctrl-C


def _end(*_):
    os.write(2, b"\nstopped before anything was begun\n")
    os._exit(STOPPED)


def stoppable_imports():
    """While libraries are imported Ctrl-C ends the program at once: half an import is a traceback, torch's an abort."""
    return ctrl_c(_end, ours=signal.getsignal(signal.SIGINT) is signal.default_int_handler)


@contextmanager
def ctrl_c(handler, *, ours: bool = True):
    """Meanwhile Ctrl-C calls `handler`, if it is `ours` to say so, and in the main thread, which alone may."""
    ours = ours and threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, handler) if ours else None
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGINT, before)
