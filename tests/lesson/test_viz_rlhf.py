"""Pictures of RLHF: well-formed SVG whatever a model writes, the right numbers, and a loop that survives Ctrl-C."""

import re
import signal
import threading
from xml.etree import ElementTree

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from jupyter_client.manager import start_new_kernel

from course.pictures import of_rlhf
from course.pictures.of_rlhf import data_flow, interruptible, live_alt, live_board, live_figure, look_at, run_card
from course.pictures.replies import side_by_side
from course.pictures.svg import WIDTH

SVG = "{http://www.w3.org/2000/svg}"
NASTY = '您好 <b>&"\x1b\ufffd' * 30
LIMITS = {"score": (0, 2), "gold": (-1, 4), "kl_ref": (0, 30), "iteration": 20}
ROW = {"score": 0.5, "kl_ref": 2.0, "beta": 0.1, "gold": 1.0, "approx_kl": 0.01, "clip_fraction": 0.1}


def words(svg):
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", svg), "a control character is not allowed in SVG"
    return [text.text or "" for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def run(score=0.5, last=20, text="Hello."):
    looks = [
        {
            "iteration": i,
            "held": {"score": score + i / 20, "gold": 2.0, "kl_ref": i / 2},
            "samples": {"Why?": [f"{text} {i}", score, -1.5]},
        }
        for i in range(0, last + 1, 10)
    ]
    return {"rows": {"score": [score] * last, "gold": [2.0] * last}, "looks": looks}


def rows(n):
    return [ROW | {"iteration": i, "explained_variance": 0.5} for i in range(n)]


def test_the_flow_shows_every_tensor_with_its_shape_at_every_stage():
    for stage in range(1, len(of_rlhf.STAGES) + 1):
        said = words(data_flow(stage, B=64, P=21, T=33))
        assert said.count("(64, 33)") == 6 and "(64, 21 + 33)" in said and "(64, 21)" in said and "(64,)" in said
        assert {name for *_, name, _, _ in of_rlhf.BOXES} <= set(said)
        assert any(line.startswith(f"{stage}. ") for line in said)
    assert len({data_flow(stage, B=1, P=1, T=1) for stage in range(1, 6)}) == 5
    assert all(x >= 0 and x + width <= WIDTH for _, x, _, width, *_ in of_rlhf.BOXES)


def test_side_by_side_shows_both_replies_with_their_numbers():
    said = words(side_by_side("before", "after", [("Why?", ("No.", -0.5, 1.0), (NASTY, 2.0, -4.25))]))
    assert {"before", "after", "Why?", "No."} <= set(said)
    assert "score −0.50   gold +1.00" in said and "score +2.00   gold −4.25" in said
    assert words(side_by_side("a", "b", [("", ("", 0.0, 0.0), ("", 0.0, 0.0))])).count("(nothing)") == 2


def test_a_run_card_shows_means_over_seeds_and_the_reply_at_that_point():
    said = words(run_card([run(0.5), run(1.5)], [run(1.0)], at=10, prompts=["Why?"], limits=LIMITS))
    assert "score 1.50" in said and "KL to the reference 5.00" in said and "gold 2.00" in said
    assert "Hello. 10" in said and "score +0.50   gold −1.50" in said
    words(run_card([run(text=NASTY)], at=20, prompts=["Why?"], limits=LIMITS))


def test_a_run_card_stays_within_its_plots():
    svg = ElementTree.fromstring(run_card([run()], [run(last=90)], at=20, prompts=["Why?"], limits=LIMITS))
    for line in svg.iter(f"{SVG}polyline"):
        points = [tuple(map(float, point.split(","))) for point in line.get("points").split()]
        assert all(0 <= x <= WIDTH and 20 < y < 150 for x, y in points)


def test_look_at_takes_the_last_look_there_was():
    assert [look_at(run(), at)["iteration"] for at in (0, 9, 10, 19, 20, 90)] == [0, 0, 10, 10, 20, 20]


def test_the_live_figure_adds_the_objective_and_follows():
    fig, update = live_figure(rows(1))
    first = fig.axes[0].lines[0].get_xdata()
    assert fig.axes[0].lines[0].get_ydata() == [pytest.approx(0.5 - 0.1 * 2)] and first == [1]
    assert update(rows(7)) is fig and list(fig.axes[0].lines[0].get_xdata()) == list(range(1, 8))
    assert "After 7 iterations" in live_alt(rows(7)) and "0.300" in live_alt(rows(7))


def test_the_live_board_is_shown_once_moves_and_leaves_its_last_picture():
    InteractiveShell.instance()
    history = rows(1)
    with capture_output() as captured, live_board(history) as redraw:
        history += rows(4)[1:]
        redraw()
    assert len(captured.outputs) == 2, "one picture, and its last state for saved notebooks"
    first, last = (output.data["text/plain"] for output in captured.outputs)
    assert "After 1 iterations" in first and "After 4 iterations" in last
    InteractiveShell.clear_instance()


def test_the_live_board_keeps_the_picture_when_the_loop_breaks():
    InteractiveShell.instance()
    with pytest.raises(FloatingPointError), capture_output() as captured, live_board(rows(2)):
        raise FloatingPointError("diverged")
    assert "After 2 iterations" in captured.outputs[-1].data["text/plain"]
    InteractiveShell.clear_instance()


def counting():
    """A run that is interrupted while it works on its third row."""
    for i in range(6):
        if i == 2:
            signal.raise_signal(signal.SIGINT)
        yield i


def test_an_interrupt_waits_for_the_row_and_the_run_goes_on(capsys):
    before = signal.getsignal(signal.SIGINT)
    running = counting()
    assert list(interruptible(running)) == [0, 1, 2]
    assert "Run this cell again" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGINT) is before
    assert list(interruptible(running)) == [3, 4, 5], "nothing is lost and nothing comes twice"


def test_a_loop_that_is_left_gives_the_signal_back_and_can_be_taken_up():
    before = signal.getsignal(signal.SIGINT)
    running = iter(range(4))
    for i in interruptible(running):
        if i == 1:
            break
    assert signal.getsignal(signal.SIGINT) is before and list(interruptible(running)) == [2, 3]


def test_a_second_interrupt_is_meant():
    def stuck():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        yield 0

    with pytest.raises(KeyboardInterrupt):
        list(interruptible(stuck()))


def test_outside_the_main_thread_it_only_passes_rows_on():
    found = []
    thread = threading.Thread(target=lambda: found.extend(interruptible(iter(range(3)))))
    thread.start()
    thread.join()
    assert found == [0, 1, 2]


SLOW = """
import time
from course.pictures.of_rlhf import interruptible
def slow():
    for i in range(8):
        time.sleep(0.5)
        yield i
running, seen = slow(), []
"""
LOOP = """
for i in interruptible(running):
    seen.append(i)
    print("row", i, flush=True)
print("seen", seen)
"""


@pytest.mark.slow
def test_a_real_kernel_is_interrupted_and_goes_on():
    """Kernel > Interrupt in the middle of a row, then the same cell once more."""
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        client.execute_interactive(SLOW, timeout=120, output_hook=lambda message: None)

        def run(*, interrupt: bool) -> str:
            said = []

            def hear(message):
                said.append(message["content"].get("text", "") + "\n".join(message["content"].get("traceback", [])))
                if interrupt and "row 1\n" in said[-1]:
                    manager.interrupt_kernel()

            client.execute_interactive(LOOP, timeout=120, output_hook=hear)
            return "".join(said)

        first, second = run(interrupt=True), run(interrupt=False)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert "KeyboardInterrupt" not in first and "Run this cell again" in first
    assert "row 7" not in first and "seen [0, 1, 2, 3, 4, 5, 6, 7]" in second
