"""What a right answer earns: a picture drawn by the learner's own function, and its numbers in a sentence.

An exercise has a picture of its own, or every number that the check compared becomes a dot. Left out: answers that are
not numbers, or of which many are right.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from .compare import as_tensor, leaves
from .spec import Exercise


def earned(spec: Exercise, fn: Callable):
    """(Figure, sentence) for this function. Raises what the function raises; ValueError where nothing can be drawn."""
    if spec.picture:
        figure, numbers = spec.picture(fn)
        return figure, spec.drawn.format(**numbers)
    if spec.many_answers:
        raise ValueError(f"{spec.id} has many right answers, and no picture of its own")
    return _dots(*(torch.cat([_flat(f(*case)) for case in spec.cases()]) for f in (fn, spec.solution)))


def _flat(value) -> torch.Tensor:
    parts = [as_tensor(leaf) for _, leaf in leaves(value)]
    return torch.cat([torch.empty(0).double(), *(x.double().flatten() for x in parts if x is not None)])


def _dots(yours: torch.Tensor, reference: torch.Tensor):
    from ..pictures import ESTIMATE, EXACT, dots, figure, stroke

    fig, ax = figure(width=3.4, height=3.0, xlabel="reference", ylabel="your function")
    ends = [reference.min().item(), reference.max().item()]  # an error where there are no numbers
    ax.plot(ends, ends, **stroke(EXACT, linewidth=1))
    ax.plot(reference, yours, **{**dots(ESTIMATE), "alpha": 0.5})
    off = (yours - reference).abs().nan_to_num(0).max()
    return fig, f"Each dot is a number from your function: {len(yours)} of them, at most {off:.1g} from the reference."
