"""What a panel that computes for long does: it says so at once, waits for the hand to rest, and draws the newest value.

A browser's messages reach the kernel one by one. Here each only writes its value down and shows the words ("training
64 robots …"); the work waits on the event loop of the kernel's main thread until no message has come for `REST`. So
what was passed over while the kernel computed is never computed, from one slider or from several.
Left out: threads of our own (PyTorch computes where the cells do), and giving up work that has begun.
"""

from __future__ import annotations

import contextlib
import html
import signal
import threading

from IPython import get_ipython

REST = 0.04  # seconds without a further move before the work begins; a dragged slider moves about every 20 ms
SHOWN = 0.04  # seconds before the words are seen: what is ready by then (a result that was kept) does not flicker

# A card on the old picture. It comes by an animation of the browser, which runs while the kernel computes.
STYLE = "padding:4px 14px;border:1px solid #B4B9C1;border-radius:4px;background:#F3F4F6;color:#4A4F57"
CARD = f"""<style>@keyframes ppo-busy {{ from {{ visibility: hidden; }} to {{ visibility: visible; }} }}</style>
<div role="status" class="ppo-busy" style="{STYLE};animation:ppo-busy {SHOWN}s step-end backwards">WORDS</div>"""


def card(words: str) -> str:
    """`words` as HTML, grey, to lie over a picture."""
    return CARD.replace("WORDS", html.escape(words))


def browsers_loop():
    """The main event loop (Tornado's), if the browser's message about a widget is handled just now; None otherwise.

    None in scripts, in tests without a kernel, and while a cell runs: there a change of a value draws at once.
    """
    kernel = getattr(get_ipython(), "kernel", None)
    parent = kernel.get_parent("shell") if hasattr(kernel, "get_parent") else None
    return kernel.io_loop if parent and parent["header"]["msg_type"] == "comm_msg" else None


class WhenAtRest:
    """Runs `job` on an event loop when `start` has not been called for `REST`, however often and wherever it was."""

    def __init__(self, job):
        self._job, self._due = job, None

    def start(self, loop) -> None:
        """From any thread: JupyterLab may handle widgets in a thread beside the cells'."""
        loop.add_callback(self._wait, loop)

    def _wait(self, loop) -> None:
        if self._due is not None:
            loop.remove_timeout(self._due)
        self._due = loop.call_later(REST, self._run)

    def _run(self) -> None:
        self._due = None
        with interruptible():
            self._job()


@contextlib.contextmanager
def interruptible():
    """Let Ctrl-C and the interrupt button raise KeyboardInterrupt: outside of messages the kernel ignores them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
