"""Functions of other libraries, taken out of their wheels: downloaded once, read, never installed.

A wheel is a zip of Python files. What stands in it at the top of a file, in a class, or as one statement of a long
method is compiled here by itself, so that a formula runs without the hundreds of megabytes around it. Left out:
importing the library, and everything of it that a formula does not need.
"""

import __future__

import ast
import os
import subprocess
import sys
import tempfile
import zipfile
from functools import cache
from pathlib import Path

FOLDER = Path(os.environ.get("PPO_LESSON_WHEELS") or Path(tempfile.gettempdir()) / "ppo_lesson_wheels")
ANYWHERE = ("--python-version=311", "--platform=manylinux1_x86_64")  # the one wheel that OpenRLHF has; it is read only


@cache
def located(library: str, version: str) -> Path | str:
    """Where the library's wheel lies, after a download if need be; or why it cannot be had. Asked once."""
    if there := list(FOLDER.glob(f"{library}-{version}-*.whl")):
        return there[0]
    FOLDER.mkdir(parents=True, exist_ok=True)
    ask = [sys.executable, "-m", "pip", "download", f"{library}=={version}", "--no-deps", "--only-binary=:all:"]
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:  # another process may be at the same
        try:
            more = [*ANYWHERE, "--retries=0", "--timeout=20", "--dest", folder]
            said = subprocess.run(ask + more, capture_output=True, text=True, timeout=120)
        except subprocess.TimeoutExpired:
            return f"the wheel of {library} {version} did not come within 120 s"
        if said.returncode:
            return f"the wheel of {library} {version} cannot be had here: {said.stderr.strip()[-100:]}"
        return next(path.replace(FOLDER / path.name) for path in Path(folder).glob("*.whl"))


def wheel(library: str, version: str) -> zipfile.ZipFile:
    """The library's wheel, from FOLDER or the package index. FileNotFoundError, with the reason, if there is none."""
    if isinstance(found := located(library, version), str):
        raise FileNotFoundError(found)
    return zipfile.ZipFile(found)


def parsed(files: zipfile.ZipFile, path: str) -> ast.Module:
    """The syntax tree of the one file of the wheel whose name ends with `path`."""
    (name,) = [name for name in files.namelist() if name.endswith(path)]
    return ast.parse(files.read(name))


def run(body: list[ast.stmt], inside: dict) -> dict:
    """`inside` after these statements; annotations are not evaluated."""
    code = compile(ast.Module(body, []), "<from a wheel>", "exec", __future__.annotations.compiler_flag)
    exec(code, inside)
    return inside


def taken(files: zipfile.ZipFile, path: str, names: set[str], inside: dict) -> dict:
    """`inside` with these functions, classes and constants of the file's top level, without their decorators."""
    tree = parsed(files, path).body
    named = [node for node in tree if {getattr(node, "name", ""), *stored(node, deep=False)} & names]
    for node in named:
        node.decorator_list = []
    return run(named, inside)


def method(files: zipfile.ZipFile, path: str, name: str) -> ast.FunctionDef:
    """The syntax tree of the method or function of that name, wherever it stands in the file."""
    found = [node for node in ast.walk(parsed(files, path)) if isinstance(node, ast.FunctionDef) and node.name == name]
    if len(found) != 1:
        raise LookupError(f"{path} has {len(found)} functions called {name}")
    found[0].decorator_list = []
    return found[0]


def stored(node: ast.stmt, deep: bool = True) -> set[str]:
    """The names to which a statement, or what stands in it, assigns."""
    if not deep:
        return {x.id for x in getattr(node, "targets", ()) if isinstance(x, ast.Name)}
    return {x.id for x in ast.walk(node) if isinstance(x, ast.Name) and isinstance(x.ctx, ast.Store)}
