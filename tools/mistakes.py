"""Every wrong answer that the course knows: what differs from the right one, what its writer reads, where it was seen.

    .venv/bin/python tools/mistakes.py           prints the page
    .venv/bin/python tools/mistakes.py --write   writes it into docs/mistakes.md

Nothing is written by hand there. A test compares the page with what this prints.
"""

import difflib
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "mistakes.md"
sys.path[:0] = [str(ROOT), str(ROOT / "notebooks")]  # whatever is installed
HEAD = """# What people get wrong

The {mistakes} wrong answers that the checks of the {exercises} exercises know by name. Each is an edit of the right
answer: the lines that change, what whoever wrote them reads, and where the same was seen in the wild. Made from
`notebooks/course/text/en` by `python tools/mistakes.py --write`. The answers to all exercises stand here.
"""


def changed(right, wrong) -> str:
    """The lines by which a wrong answer differs from the right one, as a diff."""
    from course.edited import source_of

    name, called = (f"def {function.__name__}(" for function in (right, wrong))
    texts = source_of(right).splitlines(), source_of(wrong).replace(called, name, 1).splitlines()
    for context in (0, 1):  # a line that only moves is seen to move between its neighbours alone
        _, _, _, *lines = difflib.unified_diff(*texts, n=context, lineterm="")
        out, new = ([line[1:] for line in lines if line[0] == sign] for sign in "-+")
        if sorted(out) != sorted(new):
            break
    return "\n".join(" ..." if line.startswith("@@") else line for line in lines)


def page() -> str:
    """The whole page."""
    from course.check.index import find, notebooks

    parts, count, exercises = [], 0, 0
    for notebook in notebooks().values():
        parts.append(f"## {notebook.number} {notebook.title}")
        for id in notebook.exercises:
            exercise, exercises = find(id), exercises + 1
            parts.append(f"### {id}: {exercise.title}")
            for mistake in exercise.mistakes:
                count += 1
                seen = f" *Seen in {mistake.source}.*" if mistake.source else ""
                name = mistake.fn.__name__.strip("_").replace("_", " ")
                diff = changed(exercise.solution, mistake.fn)
                parts.append(f"**{name[0].upper()}{name[1:]}.** {mistake.hint}{seen}\n\n```diff\n{diff}\n```")
    return "\n\n".join([HEAD.format(mistakes=count, exercises=exercises).rstrip(), *parts]) + "\n"


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        PAGE.write_text(page(), "utf-8")
    else:
        print(page(), end="")
