"""Pictures of the course. They draw arrays and never train.

`style` is the look of all figures, `panel` and `replay` move them, `page` puts them into a page, `svg` writes the ones
that need letters of two languages. What several notebooks show has a file of its own, what one shows lies in of_WORD.
Left out: matplotlib's own backends and windows, ipympl, and everything that computes what is drawn.

CONTRIBUTING.md shows a figure, a panel, a replay and a control each in use.

Colours, always with the same meaning: POSITIVE (A > 0), NEGATIVE (A < 0), NEW, OLD and REFERENCE policy, ESTIMATE
(sampled), EXACT (the truth), MUTED (guides), INK (text); NAMES, three neutral ones, for series that only have a name.
"""

from .curves import bars, cloud, distribution_bars, fan, histogram
from .maze_figures import MazePicture, draw_maze, maze_image
from .panel import Panel, choice, slider, stops, text, toggle
from .replay import Replay
from .svg import stack

from .style import ESTIMATE, EXACT, INK, MUTED, NAMES, NEGATIVE, NEW, OLD, POSITIVE, REFERENCE  # isort: skip
from .style import dots, figure, key, number, show, stroke  # isort: skip
