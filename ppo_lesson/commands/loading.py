"""The models, tokenizers and reward functions that the commands are given, with an answer to what people mistype."""

import difflib
import importlib.util
import inspect
import re
import shlex
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from ..language.loading import load_or_explain
from ..language.models import ScalarModel, load_language_model
from ..language.text import habits, load_tokenizer
from ..validate import read_toml, refusal, refusing, require

SIGNS = read_toml(__package__, "loading.toml")  # what a folder is of which one file is there
OURS = "__reward_function_of_ppo_lesson__"  # the mark of a module that was loaded here


def language_model(name: str):
    """A causal language model from a folder, or from the hub."""
    _folder_or_name("--model", name, "language model")
    return _loaded("--model", load_language_model, name)


def tokenizer_of(name: str | None, model_name: str, model):
    """The tokenizer called `name`, or the one beside the model."""
    option, name = ("--tokenizer", name) if name else ("--model", model_name)
    _folder_or_name(option, name, "tokenizer")
    tokenizer = _loaded(option, load_tokenizer, name)
    size = model.config.get_text_config().vocab_size
    require(len(tokenizer) <= size, ValueError, "command", "large tokenizer", option, name, len(tokenizer), size)
    return tokenizer


def reward_of(spec: str, tokenizer, model) -> ScalarModel | Callable:
    """FILE.py:FUNCTION, or a folder that the command `reward` wrote."""
    if re.search(r"\.py(:|$)", spec):
        return _function(spec)
    require(Path(spec).is_dir(), ValueError, "command", "no reward folder", spec)
    _folder_or_name("--reward", spec, "reward model")
    reward_model = _loaded("--reward", partial(ScalarModel.load, kind="reward"), spec)
    sizes = [x.config.get_text_config().vocab_size for x in (reward_model, model)]
    if any((Path(spec) / file).exists() for file in SIGNS["tokenizer"]):
        both = theirs, ours = [habits(x) for x in (_loaded("--reward", load_tokenizer, spec), tokenizer)]
        other = [name for name in ours if theirs[name] != ours[name]]
        require(not other, ValueError, "command", "other habits", spec, other, *(len(x["tokenizer"]) for x in both))
    else:
        require(sizes[0] == sizes[1], ValueError, "command", "another tokenizer", spec, *sizes)
    return reward_model


def _loaded(option: str, load: Callable, name: str):
    """load(name), or a ValueError that says which option it was and why."""
    try:
        return load_or_explain(load, name)
    except Exception as error:  # of the many libraries that may be behind it
        why = error if isinstance(error, ValueError) else refusal("command", "not loaded", name, _short(error))
        raise ValueError(f"{option}: {why}") from error


def documents_of(path: str | None) -> list[str]:
    """Plain texts, one a line."""
    with refusing(UnicodeDecodeError, ValueError, "command", "no UTF-8", path):
        text = Path(path).read_text("utf-8-sig") if path else ""
    require(not re.match(r'\s*(\[\s*)?\{\s*"', text), ValueError, "command", "no texts", path, shlex.quote(str(path)))
    require("\0" not in text, ValueError, "command", "no UTF-8", path, "it holds the character NUL")
    require(text.strip() or not path, ValueError, "command", "no document", path)
    return [line for line in text.splitlines() if line.strip()]


def _function(spec: str) -> Callable:
    """The function that FILE.py:FUNCTION names, with errors that say where in the file they arose."""
    file, _, name = spec.rpartition(":") if not spec.endswith(".py") else (spec, "", "")
    path = Path(file)
    require(path.is_file(), ValueError, "command", "no reward file", path)
    # Of its own name, if that is free: dataclasses and pickle look for a class's module by it.
    title = path.stem + "_reward" * (path.stem in sys.modules and not hasattr(sys.modules[path.stem], OURS))
    module = importlib.util.module_from_spec(found := importlib.util.spec_from_file_location(title, path))
    sys.modules[title] = module
    setattr(module, OURS, True)
    if (beside := str(path.parent.resolve())) not in sys.path:
        sys.path.append(beside)  # for modules of theirs that the file imports
    try:
        with torch.enable_grad():  # and as it was afterwards, whatever the file sets
            found.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise ValueError(f"--reward: {path} cannot be loaded: {_where(error, path)}") from error
    _same_defaults(f"--reward: {path}")
    known = [key for key, x in vars(module).items() if callable(x) and not isinstance(x, type) and key[0] != "_"]
    if name not in known:
        close = difflib.get_close_matches(name, known, 1)
        meant = f"did you mean {path}:{close[0]}?" if close else f"it has {', '.join(known) or 'none'}"
        raise ValueError(f"--reward: {path} has no function {name or '(none was named)'}; {meant}")
    function = getattr(module, name)

    def score(prompt: str, reply: str) -> float:
        try:
            value = function(prompt, reply)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # sys.exit would end the program as if all were well
            words = f"{spec} failed: {_where(error, path)}. It was asked about {prompt!r:.200} and {reply!r:.200}"
            raise ValueError(words) from error
        if inspect.iscoroutine(value):
            value.close()
            raise ValueError(f"{spec} is async, and nobody awaits it: give a plain function, with asyncio.run inside")
        _same_defaults(spec)
        return value

    return score


def _same_defaults(who: str) -> None:
    """ValueError, and float32 on the CPU again, if somebody's code has changed how torch makes new tensors."""
    defaults = {"dtype": torch.get_default_dtype(), "device": torch.get_default_device()}
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)
    for name, x in defaults.items():
        require(x in (torch.float32, torch.device("cpu")), ValueError, "command", "new default", who, name, x)


def _short(error: Exception) -> str:
    """Its first line, or two; with its name if it says no more than a key."""
    lines = str(error).strip().splitlines() or [""]
    words = " ".join(line.strip() for line in lines[: 1 + lines[0].endswith(":")]).removesuffix(".")
    return words if " " in words else f"{type(error).__name__} {words}"


def _where(error: BaseException, path: Path) -> str:
    """What went wrong, and in which line of somebody's file, or of what it called if it was not reached."""
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: {error.msg}" if error.lineno else error.msg
    steps = traceback.extract_tb(error.__traceback__)
    last = [*steps[-1:], *(step for step in steps if Path(step.filename) == path)][-1]
    words = traceback.format_exception_only(error)[-1].strip()  # even if it cannot say what it is
    called = "it must take two texts, (prompt, reply)" if len(steps) == 1 else ""  # and takes others
    return f"{words} ({called or f'line {last.lineno} of {Path(last.filename).name}'})"


def _folder_or_name(option: str, name: str, kind: str) -> None:
    """ValueError unless `name` is a folder that holds such a thing, or can be a name on the hub.

    It knows the folders which the commands write.
    """
    path, (first, *more) = Path(name), SIGNS[kind]
    if path.is_dir():
        if not any((path / file).exists() for file in (first, *more)):
            inner = [sub for sub in ("model", "actor") if (path / sub / first).exists()]
            missing = "name the folder that does with --tokenizer" if kind == "tokenizer" else f"{first} is missing"
            remedy = f"did you mean {path / inner[0]}?" if inner else missing
            raise ValueError(f"{option}: {name} holds no {kind}; {remedy}")
    elif path.exists() or name[0] in "./~" or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name):
        raise ValueError(f"{option}: there is no folder {name}, and it cannot be a name on the hub")
    elif path.parent != Path() and path.parent.is_dir():  # data/sft_modle, say; not worth a question to the hub
        close = difflib.get_close_matches(path.name, [x.name for x in path.parent.iterdir() if x.is_dir()], 1)
        meant = f"; did you mean {path.parent / close[0]}?" if close else ""
        raise ValueError(f"{option}: there is no folder {name}{meant}")
