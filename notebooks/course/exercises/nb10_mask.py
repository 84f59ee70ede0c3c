"""Notebook 10: which tokens of a sampled batch are actions: draw the mask."""

from __future__ import annotations

import torch

from ..check.spec import Exercise, Mistake, close, require
from ..edited import edited
from ..pictures import INK, MUTED, NEGATIVE, OLD, figure


def draw_mask(ids, prompt_length, eos_id, pad_id):
    """True on every token of the reply up to its first EOS, that one included: (B, T) bool."""
    is_eos = (ids[:, prompt_length:] == eos_id).int()
    earlier = is_eos.cumsum(-1) - is_eos  # how many EOS stand before this token
    return earlier == 0


PAD, EOS = 0, 1


def _case(*rows, prompt, eos=EOS, pad=PAD):
    return torch.tensor(rows), prompt, eos, pad


def _cases():
    g = torch.Generator().manual_seed(11)
    drawn = torch.randint(0, 6, (8, 12), generator=g)
    return [
        _case([5, 1, 0], prompt=1),
        _case([5, 7, 8], prompt=1),  # cut off: no EOS
        _case([5, 6, 7, 8, 1, 0, 0], prompt=2),
        _case([5, 6, 7, 8, 1], prompt=2),
        _case([1, 5, 1, 6, 7, 1, 0], prompt=4),  # a customer wrote "<eos>"
        _case([5, 7, 1, 8, 9, 1, 4], prompt=1),  # the sampler went on
        _case([5, 7, 0, 8, 1, 0], prompt=1),  # PAD drawn as a token: it was chosen, so it counts
        _case([2, 2, 5, 7, 2, 2, 2], prompt=3, eos=2, pad=2),
        _case([2, 2, 5, 7, 8, 9], [4, 5, 6, 2, 2, 2], prompt=3, eos=2, pad=2),
        _case([0, 0, 5, 7, 1, 0], [0, 4, 5, 7, 8, 9], [3, 4, 5, 1, 0, 0], prompt=3),
        (drawn, 4, 1, 0),
        (drawn.flip(0), 7, 3, 3),
    ]


def _eos_is_an_action(fn):
    """The first EOS was chosen like any other token: it is true in the mask."""
    case = _case([5, 6, 7, 8, 1, 0, 0], prompt=2)
    got = fn(*case)
    require(got[0, 2], case=case, got=got)


def _nothing_after_the_end_matters(fn):
    """What stands after the first EOS changes nothing: padding, another padding, or tokens that went on."""
    first = fn(*_case([5, 6, 7, 8, 1, 0, 0, 0], prompt=2))
    for tail in ([1, 1, 1], [9, 1, 9], [1, 9, 0], [9, 9, 9]):
        case = _case([5, 6, 7, 8, 1, *tail], prompt=2)
        close(fn(*case), first, case=case)


def _the_prompt_does_not_matter(fn):
    """The prompt changes nothing: not its padding, not an EOS in it."""
    first = fn(*_case([4, 6, 5, 7, 8, 1, 0], prompt=3))
    for head in ([0, 0, 5], [1, 1, 5], [4, 1, 5], [1, 5, 1]):
        case = _case([*head, 7, 8, 1, 0], prompt=3)
        close(fn(*case), first, case=case)


def _rows_are_alone(fn):
    """What is true in a row does not depend on the rows beside it."""
    case = _cases()[9]
    close(fn(case[0][2:], *case[1:]), fn(*case)[2:], case=case)


def _cut_replies_are_whole(fn):
    """A reply that was cut has no EOS; every token of it was chosen, the last one too."""
    case = _case([5, 7, 8], [5, 7, 8], prompt=1)
    close(fn(*case), torch.ones(2, 2, dtype=torch.bool), case=case)


SHOWN = [[0, 0, 5, 7, 1, 0, 0, 0], [3, 1, 5, 7, 8, 4, 1, 0], [3, 4, 5, 7, 8, 9, 4, 6], [0, 4, 5, 1, 9, 1, 9, 9]]


def _draw(fn):
    """Four rows of tokens: blue where the learner's mask is true, a black frame where it should be."""
    case = _case(*SHOWN, prompt=3)
    right, yours = draw_mask(*case), torch.as_tensor(fn(*case)).bool()
    yours = yours[:, -right.shape[1] :] if yours.ndim == 2 and yours.shape[1] >= right.shape[1] else ~right
    fig, ax = figure(width=6.4, height=2.5, xlim=(-0.1, 8.1), ylim=(4.1, -0.75))
    ax.axis("off")
    for i, row in enumerate(SHOWN):
        for j, token in enumerate(row):
            real, kept = (bool(x[i, j - 3]) if j >= 3 else False for x in (right, yours))
            colour = OLD if kept else "#F1F2F4" if j < 3 else "white"
            ax.add_patch(_box(j + 0.05, i + 0.1, colour, INK if real else MUTED, 2.5 if real else 0.8))
            word = {0: "PAD", 1: "EOS"}.get(token, "abcdefghij"[token])
            ax.text(j + 0.5, i + 0.5, word, ha="center", va="center", color=INK if real or kept or j < 3 else MUTED)
            if real != kept:
                ax.plot([j + 0.88], [i + 0.22], marker="X", color=NEGATIVE, markersize=8, zorder=5)
    ax.text(1.5, -0.3, "prompt", ha="center", color=MUTED)
    ax.text(5.5, -0.3, "reply: framed = is an action, blue = your mask", ha="center", color=INK)
    wrong = int((right != yours).sum())
    return fig, f"Four replies token by token: your mask and the right one differ at {wrong} of {right.numel()} tokens."


def _box(x, y, colour, edge, width):
    from matplotlib.patches import Rectangle

    return Rectangle((x, y), 0.9, 0.8, facecolor=colour, edgecolor=edge, linewidth=width)


MASK = Exercise(
    id="10.draw_mask",
    title="Draw the mask: which tokens are actions",
    solution=draw_mask,
    cases=_cases,
    properties=[
        _eos_is_an_action,
        _nothing_after_the_end_matters,
        _the_prompt_does_not_matter,
        _cut_replies_are_whole,
        _rows_are_alone,
    ],
    picture=_draw,
    mistakes=[
        Mistake(
            edited(draw_mask, {" - is_eos": ""}, "_eos_left_out"),
            "Your mask ends one token too early. Ending is a choice: without EOS nobody learns when to stop.",
        ),
        Mistake(
            edited(draw_mask, {"earlier == 0": "ids[:, prompt_length:] != pad_id"}, "_not_pad"),
            "You asked for `ids != pad_id`. Where PAD and EOS are the same id, this throws away the choice to end; "
            "where the sampler went on after EOS, it keeps what nobody will read. Ask for the first EOS.",
            "huggingface/trl pull request 6357, and the review of 5303",
        ),
        Mistake(
            edited(draw_mask, {"earlier == 0": "ids[:, prompt_length:] != eos_id"}, "_not_eos"),
            "You asked for `ids != eos_id`: the choice to end is gone, and all that follows it stays.",
        ),
        Mistake(
            edited(
                draw_mask,
                {"earlier == 0": "(ids[:, prompt_length:] != pad_id) & (is_eos == 0)"},
                "_neither_pad_nor_eos",
            ),
            "You removed PAD and EOS by their ids. EOS was chosen; what follows the first EOS must go whatever it is.",
        ),
        Mistake(
            edited(draw_mask, {"== eos_id": "== pad_id", " - is_eos": ""}, "_up_to_the_first_pad"),
            "You looked for the first PAD. With PAD = EOS the end is lost; and after EOS there may be no PAD at all.",
        ),
        Mistake(
            edited(draw_mask, {"earlier == 0": "(earlier == 0) & (ids[:, prompt_length:] != pad_id)"}, "_pad_too"),
            "You removed PAD by its id. Before the end a PAD was drawn like any other token; and where PAD is EOS, the "
            "end is gone.",
        ),
        Mistake(
            edited(draw_mask, {"earlier == 0": "earlier >= 0"}, "_everything"),
            "All true: the padding would be trained on. The reply ends at its first EOS.",
            "jingyaogong/minimind, the torch rollout of train_ppo.py",
        ),
        Mistake(
            edited(
                draw_mask,
                {"ids[:, prompt_length:] ==": "ids ==", "earlier == 0": "(earlier == 0)[:, prompt_length:]"},
                "_eos_of_the_prompt",
            ),
            "You counted EOS in the whole row. One in the prompt (a chat template, a padding, a customer who typed it) "
            "then ends the reply before it begins. Cut the reply out first.",
            "huggingface/trl issue 6805",
        ),
        Mistake(
            edited(
                draw_mask,
                {"earlier == 0": "(is_eos.flip(-1).cumsum(-1).flip(-1) > 0) | ~is_eos.any(-1, keepdim=True)"},
                "_up_to_the_last_eos",
            ),
            "You went up to the LAST EOS. Nothing after the first one is part of the reply.",
        ),
        Mistake(
            edited(draw_mask, {" - is_eos": "", "earlier == 0": "earlier <= 1"}, "_up_to_the_second_eos"),
            "A running sum that is still 1 after the first EOS keeps all that follows it, up to a second one. Count "
            "the EOS BEFORE each token: the running sum minus the token itself.",
        ),
        Mistake(
            edited(
                draw_mask, {"earlier == 0": "(ids[:, prompt_length:] != pad_id) | (is_eos == 1)"}, "_not_pad_or_eos"
            ),
            "You rescued EOS from the question `ids != pad_id`. It still keeps what a sampler wrote after the end, and "
            "every EOS, not only the first.",
        ),
        Mistake(
            edited(
                draw_mask, {"earlier == 0": "torch.cat([earlier[:, :1], earlier[:, :-1]], -1) == 0"}, "_one_too_many"
            ),
            "Your mask is one token too long: the token after EOS was chosen by nobody.",
            "huggingface/trl issue 3750: there the score stood on that token",
        ),
        Mistake(
            edited(
                draw_mask,
                {"earlier == 0": "torch.arange(is_eos.shape[1]) <= is_eos.argmax(-1, keepdim=True)"},
                "_argmax",
            ),
            "`argmax` of a row without EOS is 0, so a reply that was cut keeps its first token only.",
        ),
        Mistake(
            edited(
                draw_mask, {"earlier == 0": "(earlier == 0) & is_eos.any(-1, keepdim=True)"}, "_cut_replies_dropped"
            ),
            "Replies without EOS vanished. They were cut, but every token of theirs was chosen and is trained on.",
        ),
        Mistake(
            edited(draw_mask, {"earlier == 0": "(earlier == 0) & (is_eos == 1)"}, "_only_the_end"),
            "Only the end is true. That is where a score will go; an action is every token before it too.",
        ),
        Mistake(
            edited(draw_mask, {"prompt_length:]": "prompt_length - 1 : -1]"}, "_one_column_early"),
            "You cut the reply out one column too early. The shift by one belongs to logits; the tokens start at P.",
        ),
        Mistake(
            edited(
                draw_mask,
                {"earlier == 0": "torch.cat([ids[:, :prompt_length] != ids[:, :prompt_length], earlier == 0], -1)"},
                "_all_columns",
            ),
            "Your mask covers the prompt too. Here the T columns of the reply are wanted.",
        ),
        Mistake(
            edited(draw_mask, {"earlier == 0": "earlier > 0"}, "_inverted"),
            "Inverted: true means that the token is an action.",
        ),
    ],
    hints=[
        "Cut the reply out of the row. For each token: how many EOS stand before it?",
        "`(replies == eos_id).int().cumsum(-1)` counts EOS up to a token, itself included. Subtract itself.",
        "`is_eos.cumsum(-1) - is_eos == 0`, with `is_eos = (ids[:, prompt_length:] == eos_id).int()`.",
    ],
)
