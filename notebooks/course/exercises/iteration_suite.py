"""What must hold of a loop of PPO on replies, one property after another, each on stand-ins for the models.

Exercise `ppo_iteration` is held against it. Left out: whether every number is right, which the exercise compares.
"""

from __future__ import annotations

import torch

from ..check.spec import Wrong, close, require
from .stand_ins import after, movement, situation


def _epochs_end(fn):
    try:
        fn(*situation(11, epochs=2))
    except Wrong as wrong:
        wrong.mistake = "not_data" if "second time" in wrong.message else ""
        raise


def _outside(fn):
    case = situation(12)
    actor, critic = movement(fn, case)
    for name, moved in (("actor's", actor), ("critic's", critic)):
        most = moved.where(~case[5], 0.0).abs().max().item()
        require(most < 1e-9, f"The {name} numbers out there move by up to {most:.3g}.", case=())


def _reference_stays(fn):
    case = situation(13)
    fn(*case)
    read = all(p.grad is None or not p.grad.any() for p in case[2].parameters())
    require(read, case=(), mistake="not_data")


def _first_step(fn):
    rate, case = 0.1, situation(14, (1,), (2,), (2,), lr=0.1, beta=0.5)
    actor, critic, reference, _, _, mask, scores, beta, _ = case
    old, ref, values = (model(None).detach()[0, 3:5].tolist() for model in (actor, reference, critic))
    last = -beta * (old[1] - ref[1]) + scores.item() - values[1]
    first = -beta * (old[0] - ref[0]) + values[1] - values[0] + 0.95 * last
    got = movement(fn, case)[0][mask]
    want = torch.tensor([first, last]).to(got) * rate / 2
    require(got.any(), "The actor does not move: `backward()` finds gradients, `step()` goes along them.", case=())
    close(got, want, f"A reply of two tokens moves by {_row(got)}, and should by {_row(want)}.", case=(), rtol=1e-4)


def _padding(fn):
    before = after(fn, situation(15, epochs=2))
    words, near = "With {:g} there, the real tokens move elsewhere.", {"case": (), "rtol": 1e-4, "atol": 1e-6}
    close(after(fn, situation(15, epochs=2, outside=1e6)), before, words.format(1e6), **near)
    try:
        close(after(fn, situation(15, epochs=2, outside=torch.nan)), before, words.format(torch.nan), **near)
    except Wrong as wrong:
        wrong.mistake = "nan_leaks"
        raise


def _clipped(fn):
    one, more = (movement(fn, situation(22, epochs=epochs, lr=40.0))[0] for epochs in (1, 4))
    worst = ((more - one).abs() * ((one.exp() - 1).abs() > 0.2)).argmax()
    got, want = more.flatten()[worst].item(), one.flatten()[worst].item()
    close(got, want, f"One epoch moves one of them by {want:+.4f}, four by {got:+.4f}.", case=(), rtol=1e-4)


def _unlikely(fn):
    usual, low = (movement(fn, situation(17, epochs=2, lower=x, dtype=torch.float32))[0] for x in (0.0, 200.0))
    close(low, usual, "All log-probabilities 200 lower, no ratio changes.", case=(), rtol=1e-2, atol=1e-3)


def _row(x) -> str:
    return ", ".join(f"{v:+.4f}" for v in x.flatten().tolist())


SUITE = (_epochs_end, _reference_stays, _outside, _first_step, _padding, _clipped, _unlikely)
