"""The syntax trees of both rooms, and what they say: who imports what, and which names a file defines."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = {"ppo_lesson": ROOT, "course": ROOT / "notebooks"}


@cache
def files(*rooms: str) -> tuple[Path, ...]:
    """Every Python file of the rooms."""
    return tuple(sorted(file for room in rooms or ROOMS for file in (ROOMS[room] / room).rglob("*.py")))


@cache
def tree(file: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(file.read_text("utf-8"))


def dotted(file: Path) -> str:
    """ppo_lesson/language/rlhf.py -> "ppo_lesson.language.rlhf"; a package's __init__ has the package's name."""
    room = next(room for room, folder in ROOMS.items() if file.is_relative_to(folder / room))
    parts = file.relative_to(ROOMS[room]).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_private(name: str) -> bool:
    """_name, but not __name__."""
    return name.startswith("_") and not name.startswith("__")


def imports(file: Path, *, at_load: bool = False) -> set[str]:
    """Dotted names that a file imports, `module` and `module.name` alike. at_load: outside functions alone."""
    package = dotted(file) if file.name == "__init__.py" else dotted(file).rpartition(".")[0]
    names, inside = set(), list(tree(file).body)
    while inside:
        node = inside.pop()
        if at_load and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names |= {module} | {f"{module}.{alias.name}" for alias in node.names}
        inside += ast.iter_child_nodes(node)
    return names


@cache
def modules() -> frozenset[str]:
    """The dotted names of all files."""
    return frozenset(map(dotted, files()))


def neighbours(file: Path, *, at_load: bool = False) -> set[str]:
    """The modules of both rooms that a file imports."""
    return {name for name in imports(file, at_load=at_load) if name in modules()} - {dotted(file)}


def functions(file: Path):
    """(qualified name, node) of every function and method a file defines at its top level or in a class there."""
    for node in tree(file).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node
        if isinstance(node, ast.ClassDef):
            for part in node.body:
                if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield f"{node.name}.{part.name}", part
