"""What you have done so far: one small JSON file on your own disk. No account, no network.

Two notebooks may be open at once: every change reads the file, changes one entry and replaces the file in one move. A
corrupt file is set aside; without a writable folder the record stays in memory. Either costs one printed line.
Left out: locks. Two answers within the same few milliseconds may lose one of them.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from pathlib import Path

from .index import OLD_IDS

SECTIONS = ("exercises", "predictions", "quizzes", "challenges")
_state = {"warned": False, "memory": None}


def home() -> Path:
    """The folder of progress.json: PPO_LESSON_HOME, or ~/.ppo_lesson."""
    return Path(os.environ.get("PPO_LESSON_HOME") or Path.home() / ".ppo_lesson")


def read() -> dict:
    """{"exercises": {id: {...}}, "predictions": {...}, "quizzes": {...}}; empty sections if nothing is stored yet."""
    if _state["memory"] is not None:
        return _clean(_state["memory"])
    try:
        file = home() / "progress.json"
        text = file.read_text("utf-8-sig")
    except FileNotFoundError:
        return _clean({})
    except (OSError, ValueError, RuntimeError) as problem:
        if isinstance(problem, UnicodeDecodeError):
            return _set_aside(file)
        return _remember(_clean({}), problem)
    try:
        data = json.loads(text)
        if not isinstance(data, dict) or any(not isinstance(data.get(s, {}), dict) for s in SECTIONS):
            raise ValueError("not a record of this course")
        return _clean(data)
    except (ValueError, RecursionError):
        return _set_aside(file)


def update(section: str, id: str, change) -> None:
    """Replace one entry by change(the old entry, {} if there is none); None deletes it."""
    data = read()
    entry = change(dict(data[section].get(id, {})))
    data[section].pop(id, None)
    if entry is not None:
        data[section][id] = entry
    write(data)


def write(data: dict) -> None:
    """Store everything, atomically."""
    if _state["memory"] is not None:
        _state["memory"] = data
        return
    name = None
    try:
        folder = home()
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix="progress-", suffix=".tmp", dir=folder)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"version": 2, **data}, file, indent=1, sort_keys=True)
        _replace(name, folder / "progress.json")
    except (OSError, ValueError, RuntimeError) as problem:
        if name:
            with contextlib.suppress(OSError):
                os.unlink(name)
        _remember(data, problem)


def _replace(source, target) -> None:
    for wait in (0.02, 0.1, 0.3, None):  # Windows refuses while another notebook has the file open
        try:
            return os.replace(source, target)
        except PermissionError:
            if wait is None:
                raise
            time.sleep(wait)


def _clean(data: dict) -> dict:
    """Only the known sections, and in them only entries that are dicts; what has an old id gets the one of today."""
    whole = {s: {k: dict(v) for k, v in data.get(s, {}).items() if isinstance(v, dict)} for s in SECTIONS}
    return {s: {OLD_IDS.get(k, k): v for k, v in sorted(part.items())} for s, part in whole.items()}


def _set_aside(file: Path) -> dict:
    try:
        os.replace(file, file.with_suffix(".json.broken"))
    except OSError as problem:
        return _remember(_clean({}), problem)
    _warn("progress.json could not be read; it was renamed to progress.json.broken, and your progress starts over.")
    return _clean({})


def _remember(data: dict, problem: Exception) -> dict:
    _state["memory"] = data
    reason = getattr(problem, "strerror", None) or type(problem).__name__
    _warn(
        f"progress.json cannot be used ({reason}); your progress lasts until this kernel stops. "
        "The environment variable PPO_LESSON_HOME names another folder."
    )
    return data


def _warn(line: str) -> None:
    if not _state["warned"]:
        print("Warning: " + line)
        _state["warned"] = True
