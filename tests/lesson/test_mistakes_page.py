"""docs/mistakes.md is what the exercises say today."""

import mistakes

from course.check import catalog
from course.check.index import find


def test_the_page_is_what_the_exercises_say():
    assert mistakes.PAGE.read_text("utf-8") == mistakes.page(), "run: python tools/mistakes.py --write"


def test_each_wrong_answer_shows_what_differs_its_hint_and_its_source():
    page = mistakes.page()
    for id in catalog():
        spec = find(id)
        for each in spec.mistakes:
            assert each.hint in page and each.source in page
            diff = mistakes.changed(spec.solution, each.fn).splitlines()
            assert any(line.startswith(("+", "-")) for line in diff), f"{id} {each.fn.__name__}: nothing differs"
            assert not any(line.startswith(("+def ", "-def ")) for line in diff)


def test_a_diff_has_the_lines_that_change_and_no_other():
    spec = find("clipped_surrogate")
    wrong = {m.fn.__name__: m.fn for m in spec.mistakes}
    assert mistakes.changed(spec.solution, wrong["max_everywhere"]) == (
        "-    return torch.minimum(ratio * advantages, clipped * advantages)\n"
        "+    return torch.maximum(ratio * advantages, clipped * advantages)"
    )
    fork = "torch.minimum(ratio * advantages, clipped * advantages)"
    assert " ...\n" not in mistakes.changed(spec.solution, wrong["upside_down"]), "one place"
    assert fork not in mistakes.changed(spec.solution, wrong["upside_down"])
