"""The tables of measurements: what the benchmarks' files hold now, number for number, in the README and beside it."""

import json
import re
from pathlib import Path

import benchmark_tables
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("page", benchmark_tables.pages())
def test_a_page_shows_what_the_files_hold(page):
    written = (ROOT / page).read_text("utf-8")
    assert benchmark_tables.pages()[page] in written, "run: python tools/benchmark_tables.py --write"


def test_the_readme_has_four_rows_and_the_page_beside_it_all():
    """A row that is renamed must not leave the README silently."""
    short, whole = (benchmark_tables.text(*given).splitlines() for given in ((benchmark_tables.FOUR,), ()))
    assert len(short) == 2 + 4 and set(short) < set(whole)


def test_every_result_has_its_rows():
    unseen = {file.stem for file in benchmark_tables.RESULTS.glob("*.json")} - set(benchmark_tables.ROWS)
    yours = {"gpu", "gpu-before", "gpu-t4", "gpu-t4-before", "table1"}  # that you may have measured yourself
    assert unseen <= yours, "write a function of their rows"


def test_a_number_that_changes_in_a_file_changes_in_the_table(tmp_path, monkeypatch):
    """With all returns, seconds, scores and MiB changed no row stays as it was."""
    before = benchmark_tables.text().splitlines()[2:]
    for name in benchmark_tables.ROWS:
        stored = benchmark_tables.read(name)
        measured = {
            key: x for key, x in stored.items() if key not in ("hardware", "settings", "goal_ms", "repetitions")
        }
        (tmp_path / f"{name}.json").write_text(json.dumps(stored | bent(measured)), "utf-8")
    monkeypatch.setattr(benchmark_tables, "RESULTS", tmp_path)
    after = benchmark_tables.text().splitlines()[2:]
    same = [old for old, new in zip(before, after, strict=True) if old == new]
    assert [row.split(" | ")[0] for row in same] == [], "these rows do not follow their file"


def bent(x):
    """x with every fraction in it another one (scores do not see a mere change of scale); counts and seeds stay."""
    if isinstance(x, dict):
        return {
            key: value * 2 if key in ("MiB", "steps/s", "J >= 0.48 at the end") else bent(value)
            for key, value in x.items()
        }
    return [bent(y) for y in x] if isinstance(x, list) else x * x + 1 if isinstance(x, float) else x


def test_two_computers_are_named_with_their_rows(tmp_path, monkeypatch):
    for name in benchmark_tables.ROWS:
        stored = benchmark_tables.read(name)
        if name == "maze":
            stored["hardware"] |= {"cpu": "another CPU"}
        (tmp_path / f"{name}.json").write_text(json.dumps(stored), "utf-8")
    monkeypatch.setattr(benchmark_tables, "RESULTS", tmp_path)
    lines = benchmark_tables.hardware().splitlines()
    assert len(lines) == 2 and lines[0].startswith("another CPU") and "(maze.py)" in lines[0]
    assert "maze.py" not in re.sub("ppo_maze.py", "", lines[1]) and "classic.py" in lines[1]


def test_writing_needs_the_marks(tmp_path, monkeypatch):
    (tmp_path / "docs").mkdir()
    monkeypatch.setattr(benchmark_tables, "ROOT", tmp_path)
    monkeypatch.setattr("sys.argv", ["benchmark_tables.py", "--write"])
    marked = f"one\n{benchmark_tables.START}\nold\n{benchmark_tables.END}\ntwo\n"
    for name in benchmark_tables.pages():
        (tmp_path / name).write_text(marked, "utf-8")
    (tmp_path / "docs" / "measured.md").write_text("a page", "utf-8")
    with pytest.raises(SystemExit, match=r"docs/measured.md has no lines .* put them back"):
        benchmark_tables.main()
    (tmp_path / "docs" / "measured.md").write_text(marked, "utf-8")
    benchmark_tables.main()
    for name, table in benchmark_tables.pages().items():
        found = (tmp_path / name).read_text("utf-8")
        assert found.startswith("one\n") and found.endswith("\ntwo\n") and "\nold\n" not in found
        assert table in found
