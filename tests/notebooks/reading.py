"""A notebook as a reader meets it: its words, cell by cell, and the notebooks to be read before it."""

import io
import re
import tokenize

import nbformat

import notebooks

NOT_WORDS = (  # blocks of code, headings, links, formulas, names of code
    r"(?s)```.*?```",
    r"(?m)^#+ .*$",
    r"\[[^\]]*\]\([^)]*\)",
    r"(?s)\$\$.*?\$\$",
    r"\$[^$\n]*\$",
    r"`[^`\n]*`",
)


def cells(path):
    """[(cell id, words)] of a notebook, in order.

    Left out, as nobody has to understand them to read on: the header card, headings (they are titles), links, names of
    code (`gamma`), formulas, folded cells, and of open code all but its comments and texts.
    """
    found = []
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            words = "" if cell.id == "header" else prose(cell.source)
        else:
            words = "" if "hide-input" in cell.metadata.get("tags", []) else comments(cell.source)
        found.append((cell.id, words))
    return found


def prose(source):
    """The words of a text cell."""
    for pattern in NOT_WORDS:
        source = re.sub(pattern, " ", source)
    return source


def comments(source):
    """The comments and texts of a code cell; a text of one word is a name, such as a key, and so is what {} holds."""
    found = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            found.append(token.string)
        elif token.type == tokenize.STRING or token.type == getattr(tokenize, "FSTRING_MIDDLE", None):
            text = re.sub(r"`[^`\n]*`|\{[^{}]*\}", " ", token.string)
            found.append(text if len(text.split()) > 1 else "")
    return " \n".join(found)


def asked(header):
    """The numbers of the notebooks that a header card's line of prerequisites names: {"04", "05"}."""
    line = re.search(r"(?m)^\*\*Prerequisites:\*\*.*$", header)[0]
    found = set(re.findall(r"\b\d\d\b", line))
    for first, last in re.findall(r"\b(\d\d) to (\d\d)\b", line):
        found |= {f"{n:02}" for n in range(int(first), int(last) + 1)}
    return found


def before(number, headers):
    """All notebooks read before notebook `number`: those that it asks for, and those that these ask for.

    headers: {number: header card}
    """
    found, new = set(), asked(headers[number])
    while new:
        found |= new
        new = set().union(*(asked(headers[n]) for n in new)) - found
    return found


def course():
    """({number: [(cell id, words)]}, {number: notebooks read before it}) of all notebooks."""
    paths = {path.name[:2]: path for path in notebooks.all_notebooks()}
    headers = {number: nbformat.read(path, as_version=4).cells[0].source for number, path in paths.items()}
    return {n: cells(path) for n, path in paths.items()}, {n: before(n, headers) for n in paths}
