"""draw_mask: which tokens of a sampled batch are actions."""

import torch

from ..check import Exercise, close, examples, require, rows
from ..pictures import INK, MUTED, NEGATIVE, OLD, figure


def draw_mask(ids, prompt_length, eos_id, pad_id):
    """True on every token of the reply up to its first EOS, that one included: (B, T) bool."""
    is_eos = (ids[:, prompt_length:] == eos_id).int()
    earlier = is_eos.cumsum(-1) - is_eos  # how many EOS stand before this token
    return earlier == 0


def batch(ids, prompt, eos=1, pad=0):
    return torch.tensor(ids), prompt, eos, pad


cases = rows("draw_mask", batch)


def eos_is_an_action(fn):
    case = batch([[5, 6, 7, 8, 1, 0, 0]], prompt=2)
    got = fn(*case)
    require(got[0, 2], case=case, got=got)


def rows_are_alone(fn):
    case = cases()[9]
    close(fn(case[0][2:], *case[1:]), fn(*case)[2:], case=case)


SHOWN = [[0, 0, 5, 7, 1, 0, 0, 0], [3, 1, 5, 7, 8, 4, 1, 0], [3, 4, 5, 7, 8, 9, 4, 6], [0, 4, 5, 1, 9, 1, 9, 9]]


def draw(fn):
    """Four rows of tokens: blue where the learner's mask is true, a black frame where it should be."""
    from matplotlib.patches import Rectangle

    case = batch(SHOWN, prompt=3)
    right, yours = draw_mask(*case), torch.as_tensor(fn(*case)).bool()
    yours = yours[:, -right.shape[1] :] if yours.ndim == 2 and yours.shape[1] >= right.shape[1] else ~right
    fig, ax = figure(width=6.4, height=2.5, xlim=(-0.1, 8.1), ylim=(4.1, -0.75))
    ax.axis("off")
    for i, row in enumerate(SHOWN):
        for j, token in enumerate(row):
            real, kept = (bool(x[i, j - 3]) if j >= 3 else False for x in (right, yours))
            colour = OLD if kept else "#F1F2F4" if j < 3 else "white"
            edge, width = (INK, 2.5) if real else (MUTED, 0.8)
            place = (j + 0.05, i + 0.1)
            ax.add_patch(Rectangle(place, 0.9, 0.8, facecolor=colour, edgecolor=edge, linewidth=width))
            word = {0: "PAD", 1: "EOS"}.get(token, "abcdefghij"[token])
            ax.text(j + 0.5, i + 0.5, word, ha="center", va="center", color=INK if real or kept or j < 3 else MUTED)
            if real != kept:
                ax.plot([j + 0.88], [i + 0.22], marker="X", color=NEGATIVE, markersize=8, zorder=5)
    ax.text(1.5, -0.3, "prompt", ha="center", color=MUTED)
    ax.text(5.5, -0.3, "reply: framed = is an action, blue = your mask", ha="center", color=INK)
    wrong = int((right != yours).sum())
    return fig, {"wrong": wrong, "all": right.numel()}


EXERCISE = Exercise(solution=draw_mask, cases=cases, suite=examples("draw_mask", batch), picture=draw)
