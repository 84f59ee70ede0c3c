"""Notebooks as files: edit them as plain text, execute them, and know when their outputs are stale.

    python tools/notebooks.py text notebooks/01_maze.ipynb > 01.txt     the notebook as plain text
    python tools/notebooks.py write notebooks/01_maze.ipynb 01.txt      the text into the notebook ("-" reads stdin)
    python tools/notebooks.py execute [notebooks/01_maze.ipynb ...]     run, store outputs and hashes (none named: all)
    python tools/notebooks.py stale                                     list notebooks whose outputs are out of date
    python tools/notebooks.py refresh                                   what belongs to the tools, in all notebooks

The text format. A cell ends where the next `# %% ` line begins; every id is fixed and unique within its notebook:

    # %% [markdown] header
    # 01 · A maze you can solve exactly            markdown lines stand as they are, without a comment sign
    # %% bootstrap
    # %% plot-values tags=hide-input
    draw_maze(ax, maze)                            code

`# %% bootstrap` has no body: `write` fills in the cell that is the same in every notebook (tools/bootstrap.py). In the
markdown cell `header` three lines belong to the tools: `write` and `execute` fill `<!-- colab -->` with the Colab link,
`<!-- minutes -->` with the measured run time, `<!-- reading -->` with the minutes that a reader needs. The tag
hide-input folds a cell's source; the cells that make a notebook ready (SETUP below) always have it. `refresh` renews
all that belongs to the tools.

Left out: a paired text file beside each notebook. The notebook is the one source; the text is a view for editing.
"""

import argparse
import ast
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
import time
import tomllib
from functools import cache
from pathlib import Path

import nbformat
from outputs import clean

ROOT = Path(__file__).resolve().parent.parent
ROOMS = {"ppo_lesson": ".", "course": "notebooks"}  # package: the folder it stands in
MAX_BYTES = 1_500_000
sys.path[:0] = [str(ROOT / folder) for folder in ROOMS.values()]
PATIENT = {"startup_timeout": 300, "iopub_timeout": 60}  # seconds: on a loaded machine both come late
KERNELSPEC = {"display_name": "Python 3", "language": "python", "name": "python3"}

BOOTSTRAP = Path(__file__).with_name("bootstrap.py").read_text("utf-8")
SETUP = ("bootstrap", "imports", "imports-language", "drawing")  # ids of the cells that open a notebook, folded

COLAB = (
    "**Colab:** open this notebook there and upload `ppo-lesson-colab.zip`, which `make colab` writes, to its Files, "
    "or to a folder `ppo-lesson` of the Drive that you mount."
)
CELL_LINE = re.compile(r"# %% (?:(?P<markdown>\[markdown\]) )?(?P<id>[A-Za-z0-9_-]{1,64})(?: tags=(?P<tags>[\w,-]+))?")


# ---- the repository's address, and the two lines of the header card that the tools write ---------------------------


def project(root=ROOT):
    """(repository's address, version) from pyproject.toml, the one place where they stand; no address yet: ""."""
    table = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    return table["tool"]["ppo-lesson"]["repository"], table["project"]["version"]


def bootstrap(root=ROOT):
    """Source of the first code cell of every notebook."""
    address, version = map(json.dumps, project(root))
    text = BOOTSTRAP.replace('repository=""', f"repository={address}").replace('version=""', f"version={version}")
    return text.rstrip("\n")


def colab_line(path, root=ROOT):
    """One line of markdown: the Colab link of the notebook at `path`, or what to do while there is no address."""
    address = project(root)[0]
    if not address:
        return COLAB
    where = address.replace("https://github.com/", "https://colab.research.google.com/github/")
    return f"**Colab:** [open this notebook in Colab]({where}/blob/main/notebooks/{Path(path).name})"


def minutes_line(meta):
    """One line of markdown: the measured run time kept in the notebook's own metadata."""
    if "seconds" not in meta:
        return "**Run time:** not measured yet."
    seconds = meta["seconds"]
    amount = f"{seconds} seconds" if seconds < 90 else f"{seconds / 60:.1f} minutes"
    return f"**Run time:** {amount}, measured on {meta['cores']} CPU cores. A GPU is not needed."


def reading(nb):
    """Minutes that a notebook takes: words / 150, 4 s a visible line of code, 8 an exercise, 2 a panel, 5 the quiz."""
    words = sum(
        len(cell.source.split()) for cell in nb.cells if cell.cell_type == "markdown" and "<details>" not in cell.source
    )
    shown = [c.source for c in nb.cells if c.cell_type == "code" and "hide-input" not in c.metadata.get("tags", [])]
    lines = sum(bool(line.strip()) for source in shown for line in source.splitlines())
    sources = [cell.source for cell in nb.cells if cell.cell_type == "code"]
    exercises = len({id for source in sources for id in re.findall(r"^@exercise\((.*)\)", source, re.MULTILINE)})
    panels = sum(
        bool(re.search(r"^(?:Panel|Replay|\w*(?:panel|replay)\w*)\(", source, re.MULTILINE)) for source in sources
    )
    return round(words / 150 + lines * 4 / 60 + 8 * exercises + 2 * panels + 5 * any("quiz(" in s for s in sources))


def fill(text, marker, line):
    """Replace the line that carries `<!-- marker -->` by `line`, the marker kept behind it; a list's dash stays."""
    pattern = rf"^([-*] )?.*<!-- {marker} -->[ \t]*$"
    return re.sub(pattern, lambda found: f"{found[1] or ''}{line} <!-- {marker} -->", text, flags=re.MULTILINE)


def normalise(nb, path, root=ROOT):
    """Bring everything that the tools own into one form: metadata, the bootstrap cell, the header's two lines."""
    meta = nb.metadata.get("ppo_lesson", {})
    nb.metadata = nbformat.from_dict({"kernelspec": KERNELSPEC, "language_info": {"name": "python"}})
    nb.metadata["ppo_lesson"] = nbformat.from_dict(meta)
    for cell in nb.cells:
        tags = cell.metadata.get("tags", [])
        if cell.id in SETUP and "hide-input" not in tags:
            tags = [*tags, "hide-input"]
        folded = {"jupyter": {"source_hidden": True}} if "hide-input" in tags else {}
        cell.metadata = nbformat.from_dict(({"tags": tags} if tags else {}) | folded)
        if cell.id == "bootstrap":
            cell.source = bootstrap(root)
        if cell.id == "header":
            cell.source = fill(cell.source, "colab", colab_line(path, root))
            cell.source = fill(cell.source, "minutes", minutes_line(meta))
            cell.source = fill(cell.source, "reading", f"**Reading:** about {reading(nb)} minutes, exercises included.")
    return nb


# ---- text <-> notebook ---------------------------------------------------------------------------------------------


def to_text(nb):
    """A notebook as plain text; the lines the tools fill in are left empty."""
    parts = []
    for cell in nb.cells:
        if any(line.startswith("# %% ") for line in cell.source.splitlines()):
            raise ValueError(f"cell {cell.id!r} has a line that begins with '# %% ', which marks a new cell")
        tags = ",".join(cell.metadata.get("tags", []))
        line = f"# %% {'[markdown] ' if cell.cell_type == 'markdown' else ''}{cell.id}{f' tags={tags}' if tags else ''}"
        source = "" if cell.id == "bootstrap" else cell.source
        source = re.sub(r"^([-*] )?.*(<!-- (?:colab|minutes|reading) -->)[ \t]*$", r"\1\2", source, flags=re.MULTILINE)
        parts.append(f"{line}\n{source}".rstrip("\n") + "\n")
    return "\n".join(parts)


def from_text(text, old=None):
    """Plain text -> notebook. Code cells of `old` with the same id and source keep their outputs."""
    nb = nbformat.v4.new_notebook(metadata=old.metadata if old else {})
    kept = {cell.id: cell for cell in old.cells if cell.cell_type == "code"} if old else {}
    if text.strip() and not text.lstrip().startswith("# %% "):
        raise ValueError("the text must begin with a cell line: '# %% <id>' or '# %% [markdown] <id>'")
    for part in re.split(r"^(?=# %% )", text, flags=re.MULTILINE)[1:]:
        line, _, source = part.partition("\n")
        found = CELL_LINE.fullmatch(line.rstrip())
        if not found:
            raise ValueError(f"cannot read {line!r}; write '# %% <id>' or '# %% [markdown] <id>', then ' tags=a,b'")
        source = source.strip("\n").rstrip()
        metadata = {"tags": found["tags"].split(",")} if found["tags"] else {}
        new = nbformat.v4.new_markdown_cell if found["markdown"] else nbformat.v4.new_code_cell
        cell = new(source, id=found["id"], metadata=metadata)
        before = kept.get(cell.id)
        if before is not None and cell.cell_type == "code" and (before.source == source or cell.id == "bootstrap"):
            cell.outputs, cell.execution_count = before.outputs, before.execution_count
        nb.cells.append(cell)
    ids = [cell.id for cell in nb.cells]
    twice = sorted({name for name in ids if ids.count(name) > 1})
    if twice:
        raise ValueError(f"cell ids must be unique within a notebook; used more than once: {', '.join(twice)}")
    return nb


# ---- what a notebook's outputs depend on ---------------------------------------------------------------------------


@cache  # every notebook asks about the same files
def imports(source, package=""):
    """Names of the modules of both rooms that `source` imports; `package` resolves relative imports."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] in ROOMS}


def modules(sources, number="", root=ROOT):
    """Files of both rooms that code with these `sources` imports, directly or through other modules, sorted.

    A module's texts, in a .toml of its name beside it, belong to it. The check finds the exercises at run time, so
    `number` ("01") adds to it those of this notebook, with what is read of them and of it in any language.
    """
    todo, files = set().union(*map(imports, sources)), set()
    while todo:
        parts = todo.pop().split(".")
        room = root / ROOMS[parts[0]]
        for name in (parts[:n] for n in range(1, len(parts) + 1)):
            path = room.joinpath(*name)
            is_package = (path / "__init__.py").is_file()
            file = path / "__init__.py" if is_package else path.with_suffix(".py")
            if file in files or not file.is_file():
                continue
            found = {file}
            if name == ["course", "check"] and number:
                names = exercises_of(number, root)
                found |= {room / "course" / "exercises" / f"{name}.py" for name in names}
                files |= set(room.glob(f"course/text/*/notebooks/{word_of(number, root)}.toml"))
            files |= found | {texts for each in found if (texts := each.with_suffix(".toml")).is_file()}
            spoken = [each.stem for each in found if each.parent.name in ("check", "exercises")]
            files |= {text for stem in spoken for text in room.glob(f"course/text/*/{stem}.toml")}
            for each in found:
                package = ".".join(each.relative_to(room).parent.parts)
                todo |= imports(each.read_text("utf-8"), package)
    return sorted(files)


def catalogue(root=ROOT):
    """{"start": ["hello"], ...}: each notebook's word and the ids of its exercises, in course order."""
    file = root / ROOMS["course"] / "course" / "exercises" / "catalogue.toml"
    return tomllib.loads(file.read_text("utf-8"))["notebooks"]


def word_of(number, root=ROOT):
    """The word by which the catalogue knows notebook "06"; "" if it has none."""
    return dict(enumerate(catalogue(root))).get(int(number), "")


def exercises_of(number, root=ROOT):
    """Names of the files of a notebook's exercises, from the catalogue."""
    room = root / ROOMS["course"] / "course" / "exercises"
    return [name for name in catalogue(root).get(word_of(number, root), []) if (room / f"{name}.py").is_file()]


def hashes(nb, path, root=ROOT):
    """sha256 of the code cells, and of the package modules they import: what the outputs were made from.

    Markdown is not in it, nor is the bootstrap cell, so neither prose nor the repository's address makes outputs stale.
    """
    sources = [cell.source for cell in nb.cells if cell.cell_type == "code" and cell.id != "bootstrap"]
    number = Path(path).name[:2] if Path(path).name[:2].isdigit() else ""
    files = modules(sources, number, root)
    package = [f"{file.relative_to(root).as_posix()}\n{file.read_text('utf-8')}" for file in files]
    return {
        "code": hashlib.sha256("\0".join(sources).encode()).hexdigest(),
        "package": hashlib.sha256("\0".join(package).encode()).hexdigest(),
    }


def stale(path, root=ROOT):
    """Why the outputs of the notebook at `path` are out of date: a list of "code" and "package", or []."""
    nb = nbformat.read(path, as_version=4)
    stored = nb.metadata.get("ppo_lesson", {})
    return [name for name, value in hashes(nb, path, root).items() if stored.get(name) != value]


# ---- execution -----------------------------------------------------------------------------------------------------


def kernel_environment(home):
    """The environment of a notebook's kernel: one thread, its own progress folder, exercises unsolved."""
    environment = {k: v for k, v in os.environ.items() if k != "MPLBACKEND"}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    fixed = {"PYTHONHASHSEED": "0", "PYDEVD_DISABLE_FILE_VALIDATION": "1", "JUPYTER_PLATFORM_DIRS": "1"}
    return environment | threads | fixed | {"PPO_LESSON_HOME": home}


def execute(path, timeout=600, root=ROOT):
    """Run the notebook at `path` in a fresh kernel, store outputs, hashes and seconds, and return the seconds."""
    from nbclient import NotebookClient

    nb = normalise(nbformat.read(path, as_version=4), path, root)
    home = tempfile.mkdtemp(prefix="ppo_lesson_home_")
    client = NotebookClient(
        nb,
        timeout=timeout,
        **PATIENT,
        kernel_name="python3",
        store_widget_state=False,
        record_timing=False,
        coalesce_streams=True,
        extra_arguments=["--IPKernelApp.log_level=40"],
        resources={"metadata": {"path": str(Path(path).resolve().parent)}},
    )
    try:
        start = time.perf_counter()
        client.execute(env=kernel_environment(home))
        seconds = max(1, round(time.perf_counter() - start))
        for cell in nb.cells:
            if cell.cell_type == "code":
                cell.outputs = [part for output in cell.outputs for part in clean(output, home)]
    finally:
        shutil.rmtree(home, ignore_errors=True)
    old = nb.metadata["ppo_lesson"]
    measured = {"seconds": seconds, "cores": os.cpu_count()}
    if "seconds" in old and abs(seconds - old["seconds"]) <= 0.3 * old["seconds"]:
        measured = {"seconds": old["seconds"], "cores": old["cores"]}
    nb.metadata["ppo_lesson"] = nbformat.from_dict(hashes(nb, path, root) | measured)
    save(normalise(nb, path, root), path)
    return seconds


def save(nb, path):
    """Write a valid notebook of at most MAX_BYTES, or raise and leave the file as it was."""
    nbformat.validate(nb)
    body = nbformat.writes(nb, version=4) + "\n"
    if len(body.encode()) > MAX_BYTES:
        size = len(body.encode())
        raise ValueError(f"{path} would have {size:,} bytes, more than {MAX_BYTES:,}: draw fewer or smaller figures")
    Path(path).write_text(body, "utf-8", newline="\n")


def all_notebooks(root=ROOT):
    """The committed notebooks, in course order."""
    return sorted((root / "notebooks").glob("*.ipynb"))


def named(text, root=ROOT):
    """The file of the notebook that `text` names: a path, or a number such as 6 or 06; else ArgumentTypeError."""
    if text.endswith(".ipynb") and Path(text).is_file():
        return Path(text)
    found = [path for path in all_notebooks(root) if text and path.name[:2] == text.zfill(2)]
    if not found:
        numbers = " ".join(path.name[:2] for path in all_notebooks(root))
        raise argparse.ArgumentTypeError(f"{text!r} is no notebook: name a file *.ipynb that is there, or of {numbers}")
    return found[0]


def refresh(root=ROOT):
    """Renew what belongs to the tools in every notebook: first cell, folds, two lines of the header; outputs stay."""
    for path in all_notebooks(root):
        save(normalise(nbformat.read(path, as_version=4), path, root), path)


def main(argv=None):
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("text").add_argument("notebook", type=named)
    write = commands.add_parser("write")
    write.add_argument("notebook", type=Path)
    write.add_argument("textfile")
    run = commands.add_parser("execute")
    run.add_argument("notebooks", nargs="*", type=named)
    run.add_argument("--stale", action="store_true", help="only those whose outputs are out of date")
    run.add_argument("--timeout", type=int, default=600, help="seconds a cell may take")
    commands.add_parser("stale")
    commands.add_parser("refresh")
    args = parser.parse_args(argv)

    if args.command == "text":
        sys.stdout.write(to_text(nbformat.read(args.notebook, as_version=4)))
        return 0
    if args.command == "write":
        text = sys.stdin.read() if args.textfile == "-" else Path(args.textfile).read_text("utf-8")
        old = nbformat.read(args.notebook, as_version=4) if args.notebook.exists() else None
        save(normalise(from_text(text, old), args.notebook), args.notebook)
        return 0
    if args.command == "refresh":
        refresh()
        return 0
    if args.command == "stale":
        found = {path: why for path in all_notebooks() if (why := stale(path))}
        for path, why in found.items():
            print(f"{path.name}: {' and '.join(why)} changed since it was executed")
        return 1 if found else 0
    failed = 0
    for path in args.notebooks or all_notebooks():
        if args.stale and not stale(path):
            continue
        try:
            print(f"{path.name}: {execute(path, args.timeout)} s", flush=True)
        except Exception as problem:
            failed += 1
            words = re.sub(r"\x1b\[[0-9;]*m", "", str(problem))  # without the traceback's colours
            print(f"{path.name}: not written\n{words}", file=sys.stderr, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ValueError as problem:
        sys.exit(f"error: {problem}")
