"""Ours and others' formulas beside exact truth: what the page says, and that a wrong formula would be seen."""

import doctest
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
import conformance  # noqa: E402
from conform import peers, truths  # noqa: E402

ROUNDING = 1e-9  # float64, sums of some tens of terms near 1: far above its rounding, far below every real difference
LIBRARIES = list(peers.VERSIONS)


def library(name):
    """A library's functions; the test is skipped where its wheel cannot be had."""
    try:
        return getattr(peers, name)()
    except FileNotFoundError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def ours():
    return conformance.everything({"ours": conformance.ours()})


def test_means_returns_and_the_clipped_loss_of_ours_are_exact(ours):
    for question, but in {
        "aggregate": set(),
        "gae": {"a tool's tokens in the middle"},  # the trace is cut there, by definition
        "clip": {"ratio e^22, A < 0"},  # the log-ratio is held within 20
    }.items():
        for variant, row in ours[question].items():
            wrong = {case: errors for case, errors in row.items() if case not in but and not max(errors) < ROUNDING}
            assert not wrong, variant
            assert all(max(row[case]) > 0.1 for case in but)


def test_ours_with_the_ratio_in_front_has_the_gradient_of_the_kl_on_and_off_policy(ours):
    for kind in ("k1", "k2", "k3"):
        row = ours["kl"]["ours", f"{kind}, off policy"]
        assert all(gradient < ROUNDING for _, gradient in row.values())
        assert kind == "k2" or all(value < ROUNDING for value, _ in row.values())
        assert ours["kl"]["ours", kind]["off policy"][1] > 0.1  # without it none has


def test_ours_of_groups(ours):
    scaled, plain = ours["group"]["ours", "scaled"], ours["group"]["ours", "not scaled"]
    assert all(max(errors) < ROUNDING for errors in plain.values())
    assert scaled["eight times 0.9"] == scaled["a group of one"] == (0.0,)
    assert max(scaled["groups of 4"] + scaled["one right of 8"]) < 1e-4  # 1e-6 beside a deviation of .35 and more


def test_every_member_of_ours_has_its_formula_and_only_whole_replies_have_the_true_direction(ours):
    for (_, name), row in ours["family"].items():
        assert max(formula for formula, _ in row.values()) < 1e-4, name  # 1e-6 added to deviations of .2 and more
    on_policy = {name: row["on policy"][1] for (_, name), row in ours["family"].items()}
    assert on_policy.pop("Dr. GRPO") < ROUNDING and min(on_policy.values()) > 1e-3


def test_off_policy_each_members_limit_binds(monkeypatch):
    """Else its formula would not be tried: out of reach, every limit is another gradient."""
    members = conformance.members

    def formula(name):
        return lambda logp, *more: -(members.slopes(name, *(x.tolist() for x in (logp, *more))) * logp).sum()

    for name in members.MEMBERS:
        assert members.errors(formula(name), name, "off policy")[0] < ROUNDING
    losses = {}
    for name, (how, ratio, _, mean) in list(members.MEMBERS.items()):
        monkeypatch.setitem(members.MEMBERS, f"{name}, no limit", (how, ratio, "none", mean))
        losses[name] = formula(f"{name}, no limit")
    limits = members.limits
    monkeypatch.setattr(members, "limits", lambda limit: (1e9, 1e9) if limit == "none" else limits(limit))
    for name, loss in losses.items():
        assert members.errors(loss, name, "off policy")[0] > 1e-3, name


@pytest.mark.parametrize("question", list(conformance.QUESTIONS))
def test_a_formula_that_is_wrong_is_seen(question):
    """Every question's right answers, a tenth off: an error in every case that has a number."""
    right = conformance.ours()[question]
    for variant, function in list(right.items())[-1:]:
        found = conformance.asked(question, variant, lambda *batch, f=function: 1.1 * f(*batch))
        plain = conformance.asked(question, variant, function)
        assert any(max(found[case]) > max(plain[case]) + 1e-3 for case in found), found


@pytest.mark.parametrize("name", LIBRARIES)
@pytest.mark.slow
def test_each_library_answers_and_is_right_where_nothing_is_special(name):
    """The check of the adapters: on ordinary batches every library has the exact numbers."""
    rows = conformance.everything({name: library(name)})
    for (_, variant), row in rows["family"].items():
        assert max(formula for formula, _ in row.values()) < 1e-3, variant  # TRL adds 1e-4 to deviations of .4 and more
    for variant, row in rows["aggregate"].items():
        assert max(row["replies of 2, 3 and 1 tokens"]) < 1e-6, variant  # theirs add 1e-8 to counts
    for row in rows["gae"].values():
        assert max(row["replies of 6, 3 and 1 tokens"] + row["gamma = lambda = 1"] + row["lambda = 0"]) < 1e-6
    for row in rows["clip"].values():
        assert max(row["on policy"] + row["the six cases"] + row["a one-token reply"]) < 1e-6
    for variant, row in rows["group"].items():
        assert max(row["groups of 4"]) < 1e-3, variant  # deviations of 1 and more, plus 1e-9 to 1e-4
    for (_, variant), row in rows["kl"].items():
        if variant in ("k2", "k3+") or "unbiased" in variant or "bias_correction" in variant:
            assert row["on policy"][1] < 1e-5, variant  # OpenRLHF computes it in float32


def cells(text):
    """{(title of the table, first column, other column): [errors]} of the tables in a text."""
    found = {}
    for table in text.split("### ")[1:]:
        title, _, head, _, *rows = table.splitlines()
        columns = [name.strip() for name in head.split("|")[2:-1]]
        for row in (row for row in rows if row.startswith("| ")):
            first, *shown = (cell.strip() for cell in row.split("|")[1:-1])
            found |= {(title, first, column): cell.split(" / ") for column, cell in zip(columns, shown, strict=True)}
    return found


@pytest.mark.slow
def test_the_page_shows_what_comes_out():
    """Every cell to two digits, but for what float32 rounds as the machine's order of summing wants it."""
    libraries = {"ours": conformance.ours()} | {peers.TITLES[name]: library(name) for name in LIBRARIES}
    now = cells(conformance.tables(conformance.everything(libraries)))
    page = cells(conformance.PAGE.read_text("utf-8").partition(conformance.START)[2])
    assert len(now) > 150 and list(now) == list(page)
    for place in (place for place in now if place[2] != "eight times 0.9"):
        for new, old in zip(now[place], page[place], strict=True):
            if new != old:
                assert float(new) == pytest.approx(float(old), rel=0.06, abs=1e-5), place


def test_the_pages_ten_lines_run():
    for name in LIBRARIES:
        library(name)
    failed, tried = doctest.testfile(str(conformance.PAGE), module_relative=False)
    assert tried > 5 and not failed


def test_enumeration_agrees_with_sampling():
    """The oracle of the KL itself, by another way: a million draws of one policy."""
    g = torch.Generator().manual_seed(0)
    p, q = (torch.randn(truths.ACTIONS, generator=g, dtype=torch.float64).log_softmax(0) for _ in range(2))
    true = (p.exp() * (p - q)).sum()
    drawn = (p - q)[torch.multinomial(p.exp(), 1_000_000, replacement=True, generator=g)]
    assert abs(drawn.mean() - true) < 5 * drawn.std() / 1000
