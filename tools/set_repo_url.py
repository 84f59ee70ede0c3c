"""Tell the course where it is published: python tools/set_repo_url.py https://github.com/OWNER/REPO

Writes the address into pyproject.toml, the one place where it stands, and renews what is made from it: the project's
links there, CITATION.cff, the first cell of every notebook, the Colab line of every header card, the badge in the
README. An empty address ("") takes all of it away again. Outputs stay fresh: their hash knows none of these.
"""

import json
import re
import sys
from pathlib import Path

import notebooks

ROOT = Path(__file__).resolve().parent.parent
BADGE = "https://colab.research.google.com/assets/colab-badge.svg"
UNTRIED = "Nobody has run it on Colab itself yet; tests imitate it."


def readme_line(address):
    """The README's Colab line: a badge that opens notebook 00, or words while there is no address."""
    if not address:
        return (
            "On Colab: `make colab` writes `dist/ppo-lesson-colab.zip`; open a notebook there and upload the zip to "
            f"its Files, or to a folder `ppo-lesson` of the Drive that you mount. {UNTRIED}"
        )
    where = address.replace("https://github.com/", "https://colab.research.google.com/github/")
    return f"[![Open notebook 00 in Colab]({BADGE})]({where}/blob/main/notebooks/00_start_here.ipynb) {UNTRIED}"


def line_before(later, key, value, text):
    """`text` with one line `key` + `value` before the line that begins with `later`; with none if `value` is empty."""
    text = re.sub(rf"(?m)^{key}\b.*\n", "", text)
    return re.sub(rf"(?m)^(?={later}\b)", f"{key}{value}\n", text, count=1) if value else text


def set_address(address, root=ROOT):
    """Write `address` into pyproject.toml and renew README and notebooks under `root`."""
    address = address.strip().removesuffix("/").removesuffix(".git")
    if address and not re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+", address):
        raise ValueError(
            f"the address must look like https://github.com/OWNER/REPO, as Colab needs it; got {address!r}"
        )
    project, citation, readme = (root / name for name in ("pyproject.toml", "CITATION.cff", "README.md"))
    text, count = re.subn(r"(?m)^repository = .*$", f"repository = {json.dumps(address)}", project.read_text("utf-8"))
    if count != 1:
        raise ValueError(f"{project} must have exactly one line 'repository = ...'; it has {count}")
    pages = {"Repository": "", "Issues": "/issues", "Changelog": "/blob/main/CHANGELOG.md"}
    urls = ", ".join(f"{name} = {json.dumps(address + page)}" for name, page in pages.items())
    written = {
        project: line_before("dependencies", "urls", f" = {{ {urls} }}" if address else "", text),
        citation: line_before(
            "license", "repository-code", f": {address}" if address else "", citation.read_text("utf-8")
        ),
        readme: notebooks.fill(readme.read_text("utf-8"), "colab", readme_line(address)),
    }
    for path, text in written.items():
        path.write_text(text, "utf-8", newline="\n")
    notebooks.refresh(root)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        set_address(sys.argv[1])
    except ValueError as problem:
        sys.exit(f"error: {problem}")
