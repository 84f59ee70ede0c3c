"""Pictures of the course. They draw arrays and never train.

`style` is the look of all figures, `panel` and `replay` move them, `page` puts them into a page, `svg` writes the ones
that need letters of two languages. What several notebooks show has a file of its own, what one shows lies in nb08.py.
Left out: matplotlib's own backends and windows, ipympl, and everything that computes what is drawn.

A figure, shown once. `figure` makes it, `stroke` and `dots` give a line the look of its meaning, `show` displays it:

    fig, ax = figure(xlabel="steps", ylabel="weight γ^t")
    ax.plot(t, 0.9**t, **stroke(NEW), label="γ = 0.9")
    key(ax)
    show(fig, alt="The weight of a reward falls from 1 to 0.12 in twenty steps.")

A panel: make the figure and its moving artists once (`animated=True`), move them in `draw`, return the figure. The alt
text is a format string for the values of the controls and for the numbers that `draw` returns beside the figure:

    fig, ax = figure(width=4, height=4)
    maze = draw_maze(ax, Maze(), values=V, vmin=-20, vmax=1)
    def draw(gamma):
        solution = solve(probs, gamma)
        maze.update(values=solution.V)
        return fig, {"J": solution.J.item()}
    Panel({"gamma": slider("γ discount", 0, 1, 0.01, 0.9)}, draw, alt="Values at gamma {gamma:.2f}; J = {J:.2f}.")

A replay of arrays: `step` is the control it adds. `frames` may be a function of the other controls:

    def draw(step):
        maze.update(robot=states[step], path=states[: step + 1])
        return fig
    Replay(states, draw, alt="The robot after {step} steps.")

Curves with their spread return a function that redraws them: `update = fan(ax, x, curves)`, then `update(new_curves)`;
likewise `cloud(ax, points, exact)`, `bars(ax, names, values)`, `distribution_bars(ax, probs)`.

Controls: `slider("ε clip range", low, high, step, value, log=False, integer=False)`, `stops("B batch", [1, 4, 16], 4)`,
`choice(label, options, value)`, `toggle(label, value)`, `text(label, value)`. A label is the symbol and a word.

End a cell with the panel itself or with `show(...)`; never use `plt.show`, `interact` or `Output`. A title that moves:
`title = ax.set_title("J = 0.46", animated=True)`, then `title.set_text(...)` in `draw` (any other change of what is not
animated is shown too, but costs a redraw of the whole figure, about 50 ms).

Colours, always with the same meaning: POSITIVE (A > 0), NEGATIVE (A < 0), NEW, OLD and REFERENCE policy, ESTIMATE
(sampled), EXACT (the truth), MUTED (guides), INK (text).
"""

from .curves import bars, cloud, distribution_bars, fan, histogram
from .maze_figures import MazePicture, draw_maze, maze_image
from .panel import Panel, choice, slider, stops, text, toggle
from .replay import Replay
from .svg import stack

from .style import ESTIMATE, EXACT, INK, MUTED, NEGATIVE, NEW, OLD, POSITIVE, REFERENCE  # isort: skip
from .style import dots, figure, key, number, show, stroke  # isort: skip
