"""How far the formulas of verl, OpenRLHF, TRL and ours are from exact truth, on the same batches.

    python benchmarks/conformance.py            prints the table (the wheels are downloaded once, 3 MB)
    python benchmarks/conformance.py --write    and writes docs/conformance.md

A cell holds the error of the value and, where a loss has one, of the gradient: 0 is right to 1e-9, "nan" is what came
out, the name of an error what was raised. Left out: whole trainers; a formula may be right and its caller not.
"""

import argparse
import datetime
import math
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
from conform import cases, members, peers, truths  # noqa: E402

from ppo_lesson import kl  # noqa: E402
from ppo_lesson.language.advantages import group_advantages, rloo_advantages  # noqa: E402
from ppo_lesson.language.family import policy_objective  # noqa: E402
from ppo_lesson.language.settings import RLHFConfig  # noqa: E402
from ppo_lesson.objectives import aggregate, clipped_surrogate, truncated_weight  # noqa: E402
from ppo_lesson.returns import gae  # noqa: E402

PAGE = ROOT / "docs" / "conformance.md"
START, END = "<!-- written by benchmarks/conformance.py --write -->", "<!-- end of what was written -->"
QUESTIONS = {
    "kl": "KL to home as a term of the loss: relative error of its mean and of its gradient",
    "aggregate": "From tokens to one loss: error, and of the gradient",
    "gae": "Returns of GAE: largest error",
    "clip": "The clipped loss, a mean over tokens: error, and of the gradient",
    "group": "Advantages of a group: largest error",
    "family": "PPO's family: its expected gradient, the relative error from its formula, 1 - cosine with the truth",
}


def ours() -> dict:
    """The same questions, asked of ppo_lesson. `clip` and `gae` are given what our trainers give them."""

    def returns(rewards, values, mask, gamma, lam):
        last = mask & ~torch.cat([mask[:, 1:], torch.zeros_like(mask[:, :1])], 1)
        following = torch.cat([values[:, 1:], values[:, :1]], 1)
        return gae(rewards, values, following, terminated=last, mask=mask, gamma=gamma, lam=lam)[1]

    def clip(logp, old, advantages, mask):
        logp, old, advantages = (x.where(mask, 0) for x in (logp, old, advantages))
        return -aggregate(clipped_surrogate(logp, old, advantages, peers.EPS), mask)

    def groups(scores, size, scale):
        return group_advantages(scores, torch.arange(len(scores)) // size, scale=scale)

    def member(name):
        how, ratio, limit, mean = members.MEMBERS[name]
        low, high = members.limits(limit)
        objective = {"cispo": "cispo", "tv": "dppo-tv", "kl": "dppo-kl"}.get(limit, "clip")
        more = {"advantages": "rloo" if how == "rloo" else "group", "scale_groups": how == "scaled", "replies": 3}
        more |= {"ratio": ratio, "objective": objective, "aggregate": mean, "eps_high": high, "batch": 3}
        more |= {"eps": low} if limit != "cispo" else {}
        config = RLHFConfig(**more, minibatches=1, kl=None)

        def loss(logp, old, scores, mask, sampler):
            ids = torch.zeros(len(scores), dtype=torch.long)
            A = rloo_advantages(scores, ids) if how == "rloo" else group_advantages(scores, ids, scale=how == "scaled")
            objective = policy_objective(logp, old, A[:, None] * mask, mask, config)[0]
            weight = truncated_weight(old, sampler, members.CAP) if limit == "tis" else 1.0
            return -aggregate(objective * weight, mask, mean)

        return loss

    kinds = ("k1", "k2", "k3")
    terms = {kind: lambda p, ref, old, k=kind: kl.estimate(p, ref, k) for kind in kinds}
    terms |= {f"{k}, off policy": lambda p, ref, old, k=k: kl.estimate_off_policy(p, old, ref, k) for k in kinds}
    hows = ("token-mean", "seq-mean-token-mean", "seq-mean-token-sum")
    return {
        "family": {name: member(name) for name in members.MEMBERS if "whole" not in name},
        "kl": terms,
        "aggregate": {how: lambda x, mask, h=how: aggregate(x, mask, h) for how in hows},
        "gae": {"": returns},
        "clip": {"": clip},
        "group": {"scaled": lambda s, n: groups(s, n, True), "not scaled": lambda s, n: groups(s, n, False)},
    }


def largest(got, want) -> float:
    """The largest difference of two tables of numbers; NaN if one is NaN."""
    return (torch.as_tensor(got).detach().double() - torch.as_tensor(want, dtype=torch.float64)).abs().max().item()


def of_loss(loss, truth, x, *rest) -> tuple[float, float]:
    """Errors of a loss and of its gradient in `x`."""
    value, slopes = truth
    x = x.clone().requires_grad_()
    got = loss(x, *rest)
    (gradient,) = torch.autograd.grad(got, x)
    return largest(got, value), largest(gradient, slopes)


def asked(question: str, variant: str, function) -> dict[str, tuple[float, ...] | str]:
    """{case: errors} of one library's function, or the name of the error that it raised."""

    def answer(case):
        if question == "kl":
            return truths.kl_errors(function, *truths.SETTINGS[case])
        if question == "family":
            return members.errors(function, variant, case)
        batch = getattr(cases, question)()[case]
        if question == "aggregate":
            return of_loss(function, truths.aggregated(*batch, variant), *batch)
        if question == "clip":
            return of_loss(function, truths.clipped(*batch, peers.EPS), *batch)
        if question == "gae":
            mask = batch[2]
            return (largest(function(*batch).where(mask, 0), truths.returns_by_definition(*batch)),)
        return (largest(function(*batch), truths.groups(*batch, variant == "scaled")),)

    found = {}
    names = {"kl": truths.SETTINGS, "family": members.CASES}
    for case in names[question] if question in names else getattr(cases, question)():
        try:
            found[case] = answer(case)
        except (RuntimeError, ValueError, ZeroDivisionError) as refused:
            found[case] = type(refused).__name__
    return found


def everything(libraries) -> dict:
    """{question: {(library, variant): {case: errors}}} of {title: {question: {variant: function}}}."""
    return {
        question: {
            (title, variant): asked(question, variant, function)
            for title, their in libraries.items()
            for variant, function in their.get(question, {}).items()
        }
        for question in QUESTIONS
    }


def shown(errors) -> str:
    """Errors as one cell of the table."""
    if isinstance(errors, str):
        return errors
    return " / ".join("nan" if math.isnan(e) else "0" if e <= 1e-9 else f"{e:.2g}" for e in errors)


def tables(found: dict) -> str:
    """The tables, in Markdown: a row for each library and variant, a column for each case."""
    lines = []
    for question, rows in found.items():
        columns = list(next(iter(rows.values())))
        lines += [
            f"### {QUESTIONS[question]}",
            "",
            "| | " + " | ".join(columns) + " |",
            "|--" * (len(columns) + 1) + "|",
        ]
        for (title, variant), row in rows.items():
            lines.append(f"| {title} {variant}".rstrip() + " | " + " | ".join(shown(row[c]) for c in columns) + " |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write docs/conformance.md too")
    write = parser.parse_args().write
    libraries = {"ours": ours()} | {peers.TITLES[name]: getattr(peers, name)() for name in peers.VERSIONS}
    text = tables(everything(libraries))
    print(text)
    if write:
        before, _, rest = PAGE.read_text("utf-8").partition(START)
        day = f"Run on {datetime.date.today().isoformat()}, torch {torch.__version__.split('+')[0]}."
        PAGE.write_text(f"{before}{START}\n\n{day}\n\n{text}\n{END}{rest.partition(END)[2]}", "utf-8")


if __name__ == "__main__":
    main()
