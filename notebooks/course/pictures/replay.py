"""A replay: a panel with a step slider and a play button, for an episode or for the iterations of a training.

    def draw(step):
        picture.update(robot=states[step], path=states[: step + 1])
        return fig

    Replay(states, draw, alt="The robot after {step} steps.")

It stores arrays, never pictures: a frame is drawn when it is asked for, as in any `Panel`. The play button lives in the
browser and moves the slider; if drawing is slower than the interval, frames are skipped, never queued.
"""

from __future__ import annotations

import math

import ipywidgets as W

from .panel import Panel, slider

FASTEST = 150  # ms between two frames; faster than this, a browser and a kernel on one machine fall behind
SPEEDS = (("slow", 0.5), ("normal", 1.0), ("fast", 2.0), ("very fast", 4.0))


def Replay(
    frames, draw, alt, *, interval: int = 200, controls: dict | None = None, label="t step", still: int | None = None
) -> Panel:
    """A `Panel` whose control `step` (0, 1, ...) can be played.

    frames: how many there are: a number, or a sequence of them, or a function of the other controls' values that
        returns either, where their number changes ("the episode of seed 3").
    draw(step=..., **values) and alt: as for `Panel`.
    interval: ms between two frames at normal speed. controls: further controls. label: of the step slider.
    still: the frame shown first and in the committed notebook (default: the last; negative counts from the end).
    """
    controls = dict(controls or {})
    if "step" in controls:
        raise ValueError("controls must not contain 'step': a replay makes that control itself")

    def last() -> int:
        found = frames(**{name: control.value for name, control in controls.items()}) if callable(frames) else frames
        n = found if isinstance(found, int) else len(found)
        if n < 2:
            raise ValueError(f"a replay needs at least two frames; got {n}")
        return n - 1

    shown = last() if still is None else range(last() + 1)[still]
    step = slider(label, 0, last(), 1, shown, integer=True)
    play = W.Play(min=0, max=last(), value=shown)
    speed = W.Dropdown(description="speed", options=SPEEDS, value=1.0)
    speed.style.description_width, speed.layout.width = "4em", "11em"
    W.jslink((play, "value"), (step, "value"))

    def set_speed(_=None):
        play.step = max(1, math.ceil(FASTEST * speed.value / interval))  # faster than FASTEST means leaving frames out
        play.interval = round(play.step * interval / speed.value)

    def set_length(_):
        step.max = play.max = last()

    def land_on_the_last_frame(change):  # a stride over several frames must not stop short of the end
        playing = getattr(play, "playing" if hasattr(play, "playing") else "_playing")  # so ipywidgets 7 calls it
        if playing and step.max - play.step < change["new"] < step.max:
            step.value = step.max

    set_speed()
    speed.observe(set_speed, names="value")
    step.observe(land_on_the_last_frame, names="value")
    for control in controls.values():
        control.observe(set_length, names="value")  # before the panel's own observer: `step` is valid when it draws
    return Panel({**controls, "step": step}, draw, alt, toolbar=[play, speed])
