"""No word of the field before the cell that explains it: terms.toml says where, reading.py what a reader reads."""

import re
import tomllib
from functools import cache
from pathlib import Path

import pytest
from reading import before, comments, course, prose

TERMS = tomllib.loads(Path(__file__).with_name("terms.toml").read_text("utf-8"))
OUTLOOK = ("not-shown", "end")  # the last cell names what comes in later notebooks; nothing is built on it


@cache
def everything():
    return course()


def holds(words, term, entry):
    """Whether the words hold a form of the term, as a word of its own."""
    for form in entry.get("forms", [term, term + "s"]):
        spelled = 0 if form != form.lower() else re.IGNORECASE
        if re.search(rf"(?<!\w){re.escape(form)}(?!\w)", " ".join(words.split()), spelled):
            return True
    return False


def too_early(term, entry, cells, read_before):
    """["notebook/cell"] that use the term where no cell has explained it: the first of each notebook."""
    found = []
    for number, page in cells.items():
        if any(cell[:2] in read_before[number] for cell in entry["cells"]):
            continue
        for name, words in page:
            if f"{number}/{name}" in entry["cells"]:
                break
            if name not in OUTLOOK and holds(words, term, entry):
                found.append(f"{number}/{name}")
                break
    return found


def broken(term, entry, cells):
    """What is wrong with a line of the table: a cell that is not there, or does not hold the term."""
    words = {f"{number}/{name}": text for number, page in cells.items() for name, text in page}
    return [cell for cell in entry["cells"] if cell not in words or not holds(words[cell], term, entry)]


@pytest.mark.parametrize("term", TERMS)
def test_explained_before_it_is_used(term):
    cells, read_before = everything()
    assert not broken(term, TERMS[term], cells), f"{term}: no such cell, or the cell does not hold the term"
    early = too_early(term, TERMS[term], cells, read_before)
    assert not early, f"{term} is used before it is explained in {TERMS[term]['cells']}: {early}"


def test_the_table_names_what_learners_stumbled_over():
    stumbled = ["nat", "RLHF", "GRPO", "trace", "natural gradient", "shared trunk", "calibration", "Hessian", "tensor"]
    assert not set(stumbled) - set(TERMS)
    assert all(set(entry) <= {"forms", "cells"} and entry["cells"] for entry in TERMS.values())


def test_a_use_before_the_explanation_is_found_and_a_broken_table_too():
    cells = {"01": [("a", "a nat is"), ("b", "RLHF")], "02": [("c", "two nats"), ("d", "a nation"), ("end", "GRPO")]}
    alone, after = {"01": set(), "02": set()}, {"01": set(), "02": {"01"}}
    assert too_early("nat", {"cells": ["01/a"]}, cells, alone) == ["02/c"]  # 02 does not ask for 01
    assert too_early("nat", {"cells": ["01/a"]}, cells, after) == []
    assert too_early("nat", {"cells": ["01/b"]}, cells, after) == ["01/a"]
    assert too_early("nat", {"cells": ["02/d"]}, cells, after) == ["01/a", "02/c"]
    assert too_early("GRPO", {"cells": ["02/d"]}, cells, after) == []  # an outlook
    assert too_early("rlhf", {"forms": ["rlhf"], "cells": ["02/c"]}, cells, after) == ["01/b"]
    assert too_early("Rlhf", {"cells": ["02/c"]}, cells, after) == []  # with a capital letter: as it stands
    assert broken("nat", {"cells": ["01/a", "01/b", "02/d", "03/a"]}, cells) == ["01/b", "02/d", "03/a"]


def test_what_a_reader_reads():
    text = "# The nat\nA *nat* `nats` [a nat](x.md) $nat$ is.\n\n```python\nnats\n```\n$$nat$$\n"
    assert prose(text).split() == ["A", "*nat*", "is."]
    code = 'kl = 1  # in nats\nprint("price of a nat", f"{nats} in bits")\nrow["nats"] = kl\n'
    assert re.findall(r"nats?|kl", comments(code)) == ["nats", "nat"]  # neither the name `nats` nor the key


def test_what_is_read_before():
    def card(line):
        return f"# 05 · x\n\n**Prerequisites:** {line}\n"

    headers = {"01": card("averages"), "02": card("notebook 01"), "03": card("notebook 02"), "04": card("nothing")}
    headers |= {"05": card("notebooks 02 to 03; what 2026 brought"), "06": card("notebook 04 and 05")}
    assert before("05", headers) == {"01", "02", "03"}
    assert before("06", headers) == {"01", "02", "03", "04", "05"} and before("01", headers) == set()
