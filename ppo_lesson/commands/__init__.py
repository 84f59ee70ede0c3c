"""python -m ppo_lesson sft | reward | rlhf: the trainers of `ppo_lesson.language` on your own data and models."""

import os
import signal
import threading
from contextlib import contextmanager

STOPPED = 130  # the exit status of a Ctrl-C


def _end(*_):
    os.write(2, b"\nstopped before anything was begun\n")
    os._exit(STOPPED)


@contextmanager
def stoppable_imports():
    """While libraries are imported Ctrl-C ends the program at once: half an import is a traceback, torch's an abort."""
    ours = threading.current_thread() is threading.main_thread()
    ours = ours and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    try:
        if ours:
            signal.signal(signal.SIGINT, _end)
        yield
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
