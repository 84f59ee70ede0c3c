"""Write constraints.txt: the exact versions that are installed here, for everything the course and its tests need.

    .venv/bin/python tools/constraints.py

Run it after `make test` and `make browser` passed with new versions. It follows the requirements of this project and
its extras to the end, and leaves out local parts of versions ("+cpu"), packages that exist on one platform only (CUDA)
and nightly builds, which are not kept, so that the file constrains every platform and asks for nothing by itself.
"""

import re
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
PLATFORM = re.compile(r"nvidia-|cuda-|triton|intel-|tbb|mkl|.*-nightly$")
HEAD = (
    "# The exact set that CI tested. Written by tools/constraints.py; it limits versions and installs nothing itself.\n"
)


def closure(requirement, extras, found):
    """Add to `found` {name: version} what `requirement` with its `extras` needs here, and all that this needs."""
    try:
        package = distribution(requirement)
    except PackageNotFoundError:
        return  # an optional package, or one for another platform
    name = re.sub(r"[-_.]+", "-", package.name).lower()
    todo = {"", *extras} - found.get(name, (None, set()))[1]
    if not todo or PLATFORM.match(name):
        return
    found[name] = (package.version.partition("+")[0], found.get(name, (None, set()))[1] | todo)
    for line in package.requires or ():
        needed = Requirement(line)
        if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in todo):
            closure(needed.name, needed.extras, found)


def main():
    """Write the file; return how many packages it holds."""
    found = {}
    closure("ppo-lesson", {"test", "browser", "benchmarks", "export", "gpu"}, found)
    versions = {name: version for name, (version, _) in found.items() if name != "ppo-lesson"}
    lines = [f"{name}=={version}\n" for name, version in sorted(versions.items())]
    (ROOT / "constraints.txt").write_text(HEAD + "".join(lines), "utf-8", newline="\n")
    return len(lines)


if __name__ == "__main__":
    sys.stdout.write(f"constraints.txt: {main()} packages\n")
