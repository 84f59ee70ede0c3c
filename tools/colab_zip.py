"""Write the course as one file for Colab: python tools/colab_zip.py [dist/ppo-lesson-colab.zip]. `make colab`

The first cell of every notebook unpacks it. In it is what the notebooks need, and the notebooks themselves; the same
files give the same bytes, whenever they are packed by the same Python. Its last file is the doctor, by which the first
cell knows the course: a course that was unpacked only in part is not taken for one.
Left out: tests, tools, pictures of the README, and whatever a run left behind.
"""

import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "dist" / "ppo-lesson-colab.zip"
FOLDERS = ("ppo_lesson", "data", "notebooks", "benchmarks")  # notebooks 06, 09 and 16 run and read benchmarks
FILES = ("README.md", "LICENSE", "pyproject.toml", "requirements.txt", "constraints.txt")
KINDS = {".py", ".ipynb", ".json", ".jsonl", ".safetensors", ".jinja", ".md", ".toml", ".txt", ".svg"}
LAST = "notebooks/course/doctor.py"
MAX_BYTES = 25_000_000
DATE = (1980, 1, 1, 0, 0, 0)  # the earliest a zip can hold


def contents(root=ROOT):
    """Paths of the files that go into the zip, relative to `root`, in the zip's order."""
    files = [path for folder in FOLDERS for path in (root / folder).rglob("*") if path.suffix in KINDS]
    names = [path.relative_to(root).as_posix() for path in files if path.is_file()]
    names = [name for name in names if not any(part.startswith((".", "__pycache__")) for part in name.split("/"))]
    return sorted({*names, *FILES} - {LAST}) + [LAST]


def write(target=TARGET, root=ROOT, limit=MAX_BYTES):
    """Write the zip and return its size in bytes; ValueError, and no zip, where it would exceed `limit` bytes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for name in contents(root):
                entry = zipfile.ZipInfo(f"ppo-lesson/{name}", DATE)
                entry.compress_type, entry.create_system, entry.external_attr = zipfile.ZIP_DEFLATED, 3, 0o644 << 16
                archive.writestr(entry, (root / name).read_bytes())
            largest = sorted(archive.infolist(), key=lambda entry: -entry.compress_size)[:3]
        if (size := part.stat().st_size) > limit:
            names = ", ".join(f"{entry.filename} {entry.compress_size:,}" for entry in largest)
            raise ValueError(f"{target} would have {size:,} bytes, more than {limit:,}; its largest files: {names}")
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return size


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    try:
        print(f"{target}: {write(target) / 1e6:.1f} MB")
    except ValueError as problem:
        sys.exit(f"error: {problem}")
    except OSError as problem:
        line = f"python tools/colab_zip.py FOLDER/{TARGET.name}"
        sys.exit(f"error: {target} was not written ({problem}). Make room there, or name another place: {line}")
