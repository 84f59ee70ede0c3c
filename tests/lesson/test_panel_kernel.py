"""A panel in a real kernel, moved by a browser's messages: what it says, what it computes, and interrupts."""

import sys
import time
from queue import Empty

import pytest

jupyter_client = pytest.importorskip("jupyter_client")
CELL = """
import sys, time
from course.pictures import Panel, slider, toggle
computed = []

def draw(a, b, broken):
    computed.append((a, b))
    open(BEGUN, "a").write("x")
    for _ in range(SLICES):
        time.sleep(0.05)
    if broken:
        raise ZeroDivisionError("too large")
    return f"<svg width='90'>{a}, {b}</svg>"

controls = {"a": slider("a", 0, 9, 1, 0, integer=True), "b": slider("b", 0, 9, 1, 0, integer=True)}
SLICES = 0
panel = Panel({**controls, "broken": toggle("broken")}, draw, "A picture.", busy="training 64 robots …")
SLICES = 10
print(*(x.model_id for x in (*panel.controls.values(), panel._picture, panel._words)))
"""


class Kernel:
    """A kernel and the panel in it; `values` are all values of its picture (3) and of its words (4), in order."""

    def __init__(self, client, file):
        self.client, self.values, self.ids, self.begun = client, [], [], file
        self.ids = self.run(f"BEGUN = {str(file)!r}\n{CELL}").split()

    def run(self, code):
        """What a cell prints."""
        message, printed = self.client.execute(code), ""
        while True:
            found = self.client.get_iopub_msg(timeout=60)
            self.keep(found)
            if found["parent_header"].get("msg_id") == message:
                assert found["msg_type"] != "error", found["content"]
                printed += found["content"].get("text", "")
                if found["content"].get("execution_state") == "idle":
                    return printed

    def keep(self, message):
        if message["msg_type"] == "comm_msg" and message["content"]["comm_id"] in self.ids[3:]:
            state = message["content"]["data"].get("state", {})
            if "value" in state:
                self.values.append((self.ids.index(message["content"]["comm_id"]), state["value"]))

    def move(self, control, value):
        """Move control number 0, 1 or 2 as a browser does."""
        data = {"method": "update", "state": {"value": value}, "buffer_paths": []}
        content = {"comm_id": self.ids[control], "data": data}
        self.client.shell_channel.send(self.client.session.msg("comm_msg", content))

    def until_begun(self, times, seconds=20):
        """Wait until `draw` has begun this often."""
        end = time.monotonic() + seconds
        while len(self.begun.read_text()) < times:
            assert time.monotonic() < end
            time.sleep(0.01)

    def until(self, wanted, seconds=20):
        """Read messages until a picture or the words show `wanted` ("": the words are gone)."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                self.keep(self.client.get_iopub_msg(timeout=0.2))
            except Empty:
                continue
            if self.values and (wanted in self.values[-1][1] if wanted else self.values[-1][1] == ""):
                return
        raise AssertionError(f"{wanted!r} was not shown; seen: {self.values}")


@pytest.fixture(scope="module")
def manager():
    running = jupyter_client.KernelManager(kernel_name="python3")
    running.kernel_spec.argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    running.start_kernel()
    yield running
    running.shutdown_kernel(now=True)


@pytest.fixture
def kernel(manager, tmp_path):
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    yield Kernel(client, tmp_path / "begun")
    client.stop_channels()


@pytest.mark.slow
def test_it_says_so_at_once_and_computes_only_the_newest_values(kernel):
    kernel.move(0, 1)
    kernel.until("training 64 robots …")
    kernel.until_begun(2)
    for value in range(2, 9):
        kernel.move(0, value)
        kernel.move(1, value)
    kernel.until("8, 8")
    kernel.until("")
    computed = kernel.run("print(*computed, sep=';')").strip().split(";")
    assert computed[:2] == ["(0, 0)", "(1, 0)"] and computed[-1] == "(8, 8)"
    assert len(computed) <= 4, (
        "of 14 moves during the work only the last counts; one more may slip in on a busy machine"
    )
    assert [which for which, _ in kernel.values[:2]] == [4, 3], "the words came before the picture"


def test_an_error_becomes_the_red_line_and_the_words_go(kernel):
    kernel.move(2, True)
    kernel.until("ZeroDivisionError: too large")
    kernel.until("")
    kernel.move(2, False)
    kernel.until("0, 0</svg></div>")
    kernel.until("")
    assert kernel.run("print(panel.error)") == "None\n"


@pytest.mark.skipif(sys.platform == "win32", reason="an interrupt is a signal on Unix only")
def test_an_interrupt_ends_the_work(manager, kernel):
    kernel.run("SLICES = 2000")
    kernel.move(0, 3)
    kernel.until("training 64 robots …")
    kernel.until_begun(2)
    manager.interrupt_kernel()
    kernel.until("KeyboardInterrupt: it was interrupted")
    kernel.until("")
    kernel.run("SLICES = 0")
    kernel.move(0, 4)
    kernel.until("4, 0")


def test_a_cell_that_moves_a_slider_gets_its_picture_at_once(kernel):
    assert kernel.run("panel.controls['a'].value = 7; print(panel.svg)") == "<svg width='90'>7, 0</svg>\n"
