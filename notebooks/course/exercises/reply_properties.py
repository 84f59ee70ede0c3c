"""Eight properties of PPO on a batch of replies, in the order of the tutorial's lines, all of which it breaks."""

from __future__ import annotations

import torch

from ..check.spec import close, require
from .reply_batch import NAMES, as_case, on_padding, replies


def score_on_the_last(fn):
    batch = replies(7, beta=0.0)
    got = fn(*as_case(batch))["rewards"].detach()
    want = torch.zeros_like(got)
    want[torch.arange(3), batch["mask"].sum(-1) - 1] = batch["scores"]
    rows = ", ".join(map(_row, got))
    words = f"With beta 0 the rewards of replies with 4, 2 and 3 real tokens are {rows}."
    close(got[batch["mask"]], want[batch["mask"]], words)
    close(got, want, f"A padding token is paid: replies with 4, 2 and 3 real tokens get {rows}.")


def price_of_leaving(fn):
    batch = replies(8, beta=0.5)
    kl = (batch["logp_old"] - batch["logp_ref"]).where(batch["mask"], 0.0).sum(-1)
    got, want = fn(*as_case(batch))["rewards"].detach().sum(-1), batch["scores"] - 0.5 * kl
    close(got, want, f"The sums are {_row(got)}, and should be {_row(want)}.")


def free_of_padding(fn):
    batch = replies(9)
    mask, before = batch["mask"], fn(*as_case(batch))["advantages"].detach()
    after = fn(*as_case(on_padding(batch, 100.0)))["advantages"].detach()
    words = f"With 100 on the padding the reply of two tokens gets {_row(after[1, :2])}, not {_row(before[1, :2])}."
    close(after[mask], before[mask], words)


def old_is_data(fn):
    batch = replies(10)
    old = {name: batch[name].requires_grad_(True) for name in ("logp_old", "logp_ref", "values_old", "scores")}
    batch |= {name: batch[name].requires_grad_(True) for name in ("logp", "values")}
    out = fn(*as_case(batch))
    for loss in ("policy_loss", "value_loss"):
        slopes = torch.autograd.grad(out[loss], list(old.values()), allow_unused=True, retain_graph=True)
        flow = {name: x.abs().max().item() for name, x in zip(old, slopes) if x is not None and x.any()}
        words = ", ".join(f"{name} {x:.3f}" for name, x in flow.items())
        require(not flow, f"The {loss} pulls at them, with slopes up to: {words}.")


def unlikely_tokens(fn):
    batch = replies(11, dtype=torch.float32)
    usual = fn(*as_case(batch))["policy_loss"].item()
    shift = {name: batch[name] - 200.0 for name in ("logp", "logp_old", "logp_ref")}
    got = fn(*as_case(batch | shift))["policy_loss"].item()
    words = (
        f"All three log-probabilities 200 lower, every ratio the same: the policy loss goes from {usual:.4f} to {got}."
    )
    close(got, usual, words, rtol=1e-3, mistake="probabilities" if got != got else "")  # 0 / 0


def clipped(fn):
    for A, ratio, flat in ((1.0, 1.5, True), (-1.0, 0.5, True), (1.0, 0.5, False), (-1.0, 1.5, False)):
        one = {name: torch.zeros(1, 1).double() for name in NAMES[:5]} | {"beta": 0.0}
        one |= {"scores": torch.tensor([A]).double(), "mask": torch.ones(1, 1, dtype=torch.bool)}
        one["logp_old"] = torch.tensor([[-2.0]]).double()
        one["logp"] = (one["logp_old"] + torch.tensor(ratio).log()).requires_grad_(True)
        loss = fn(*as_case(one))["policy_loss"]
        (slope,) = torch.autograd.grad(loss, one["logp"])
        want = 0.0 if flat else -A * ratio
        close(
            slope.item(),
            want,
            f"A = {A:+.0f}, ratio {ratio}: slope of the loss in log pi {slope.item():+.2f}, not {want:+.2f}.",
        )


def means_over_real(fn):
    batch = replies(12)
    pad = {name: torch.cat([batch[name], torch.ones(3, 5).double()], -1) for name in NAMES[:5]}
    pad["mask"] = torch.cat([batch["mask"], torch.zeros(3, 5, dtype=torch.bool)], -1)
    for loss in ("policy_loss", "value_loss"):
        got, want = (fn(*as_case(b))[loss].item() for b in (batch | pad, batch))
        close(got, want, f"With five more columns of padding the {loss} goes from {want:.4f} to {got:.4f}.")


def nan_on_padding(fn):
    batch = on_padding(replies(13), torch.nan)
    live = [batch[name].requires_grad_(True) for name in ("logp", "values")]
    out = fn(*as_case(batch))
    total = out["policy_loss"] + out["value_loss"]
    slopes = torch.autograd.grad(total, live)
    fine = total.isfinite() and all(x.isfinite().all() for x in slopes)
    words = f"Here the sum of the losses is {total.item():.4g}; of the slopes, finite: {_finite(slopes)}."
    if not fine:  # where plain numbers on padding do no harm, they were multiplied by 0
        one, hundred = (fn(*as_case(on_padding(replies(13), x)))["policy_loss"].item() for x in (1.0, 100.0))
        require(fine, words, mistake="times_mask" if abs(one - hundred) < 1e-9 else "")


def _finite(slopes) -> str:
    return "all" if all(x.isfinite().all() for x in slopes) else "not all"


def _row(x) -> str:
    return str([round(v, 3) + 0.0 for v in x.flatten().tolist()])
