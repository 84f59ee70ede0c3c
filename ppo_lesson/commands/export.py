"""python -m ppo_lesson export verl: your settings, prompts and reward function as a run of verl 0.9.1.

    python -m ppo_lesson export verl --config runs/rlhf --output runs/verl --gpus 8
    python -m ppo_lesson export verl --config defaults --model Qwen/Qwen2.5-0.5B-Instruct --prompts prompts.jsonl \\
        --reward my_reward.py:score --output runs/verl

run.sh           what to start on the machine with GPUs; its first lines say what is not the same there
train.parquet    the prompts in verl's format: a chat, data_source, reward_model, extra_info (held.parquet: --held-out)
my_reward.py     a copy of your file, and verl_reward.py, which calls it as verl asks

Keys and types are tested against verl's own configuration files. Left out: reward models (verl serves them from GPUs of
their own), and modules of yours that your reward file imports: put them beside it.
"""

import ast
import json
import shlex
import shutil
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from .. import bridge, validate
from ..kl import FixedKL, ZieglerKL
from ..language.data import read_prompts, turns_of, write
from ..language.loading import load_or_explain, without_code
from ..language.settings import RLHFConfig
from . import options

_READ = validate.read_toml(__package__, "export.toml")
TEXTS, PLACES = _READ["files"], _READ["launch"]  # of the two files it writes; where a run finds them


def execute(options) -> int:
    """Write everything; options as argparse or a dict has them. ValueError or OSError for what its user can mend."""
    given = dict(options) if isinstance(options, dict) else dict(vars(options))
    config, began = read_config(given["config"])
    for name in ("model", "prompts", "reward"):
        given[name] = given[name] or began.get(name)
        if not given[name]:
            more = "" if began.get("model") else ", or --config with a folder that rlhf wrote"
            raise ValueError(f"export needs --{name}{more}")
    for name in ("gpus", "nodes", "tensor_parallel", "prompt_length"):
        validate.integer(name, given[name], 1)
    prompts = read_prompts(given["prompts"])
    held = read_prompts(given["held_out"]) if given["held_out"] else None
    file, name = _reward_function(given["reward"])
    mean, adaptive = given["mean_length"], isinstance(config.kl, ZieglerKL)
    validate.require(mean is None or adaptive, ValueError, "command", "no mean length", mean, config.kl)
    config, chosen = _with_rates(config, began, given)
    settings, notes = _settings(config, given, len(prompts), held is not None)
    notes = chosen + notes
    write_rows = _writer(given["format"])  # which may be missing: before anything is written
    folder = Path(given["output"])
    if (folder / "run.sh").exists() and not given["overwrite"]:
        raise ValueError(f"{folder} holds an export already; name another --output, or add --overwrite")
    folder.mkdir(parents=True, exist_ok=True)
    source = Path(given["prompts"]).stem
    write_rows(folder / f"train.{given['format']}", rows(prompts, source, "train"))
    if held is not None:
        write_rows(folder / f"held.{given['format']}", rows(held, source, "test"))
    if file.resolve() != (folder / file.name).resolve():
        shutil.copyfile(file, folder / file.name)
    facts = {"name": name, "file": file.name, "limit": config.score_clip, "engine": given["engine"]}
    facts |= {"version": bridge.VERSIONS["verl"]}
    facts["lines"] = " \\\n".join("    " + _quoted(word) for word in bridge.arguments("verl", settings))
    facts["notes"] = "\n".join(f"#   {note}" for note in notes) or "#   nothing that this export knows of"
    for made, text in TEXTS.items():
        (folder / made).write_bytes(text.format(**facts).encode())
    (folder / "run.sh").chmod(0o755)
    print(f"{folder}: run.sh, {len(prompts)} prompts, {file.name} with verl_reward.py. Start it with bash run.sh")
    print("\n".join(f"  {note}" for note in notes))
    return 0


def rows(prompts: list[str], source: str, split: str) -> list[dict]:
    """Prompts as verl's data: one row each."""
    return [
        {"data_source": source, "prompt": turns_of(prompt), "reward_model": {"style": "rule", "ground_truth": ""}}
        | {"extra_info": {"split": split, "index": i, "prompt": prompt}}
        for i, prompt in enumerate(prompts)
    ]


def read_config(where: str):
    """(RLHFConfig, options it was made with) of a run's folder, its run.json, a JSON file of fields, or "defaults"."""
    if where == "defaults":
        return RLHFConfig(), {}
    path = Path(where) / "run.json" if Path(where).is_dir() else Path(where)
    validate.require(path.is_file(), ValueError, "command", "no config", path)
    with validate.refusing(ValueError, ValueError, "command", "no JSON", path):
        what = json.loads(path.read_text("utf-8"))
    validate.require(isinstance(what, dict), ValueError, "command", "no settings", path, type(what).__name__)
    if "settings" in what and what.get("command") != "rlhf":
        raise ValueError(f"--config {path} is of a run of {what.get('command')}; only those of rlhf can be exported")
    bad = SyntaxError, TypeError, ValueError, KeyError, AttributeError
    with validate.refusing(bad, ValueError, "command", "bad settings", path):
        if "settings" in what:
            config, began = _built(ast.parse(what["settings"], mode="eval").body), what.get("options", {})
        else:
            config = RLHFConfig(**{key: _price(x) if key == "kl" else x for key, x in what.items()})
            began = {"set": [f"{key}={x}" for key, x in what.items()]}
    validate.used(config)
    return config, began


def _price(value):
    """A KL controller from JSON: null, beta, {"beta": ...}, or {"beta": ..., "target": ..., "horizon": ...}."""
    value = {"beta": value} if isinstance(value, int | float) else value  # True too, which FixedKL refuses
    with validate.refusing(TypeError, ValueError, "command", "no kl"):
        return value if value is None else (ZieglerKL if "target" in value else FixedKL)(**value)


def _built(node: ast.expr):
    """The dataclass whose repr `node` is: RLHFConfig, FixedKL or ZieglerKL, of plain values."""
    if not isinstance(node, ast.Call):
        return ast.literal_eval(node)
    known = {"RLHFConfig": RLHFConfig, "FixedKL": FixedKL, "ZieglerKL": ZieglerKL}
    return known[node.func.id](**{word.arg: _built(word.value) for word in node.keywords})


def _reward_function(spec: str) -> tuple[Path, str]:
    """The file and the function's name, after a look whether it is there; the file is read, not run."""
    file, _, name = spec.rpartition(":")
    validate.require(file.endswith(".py"), ValueError, "command", "no function file", spec)
    path = Path(file)
    validate.require(path.is_file(), ValueError, "command", "no file", path)
    validate.require(path.name != "verl_reward.py", ValueError, "command", "taken name")
    try:
        body = ast.parse(path.read_text("utf-8")).body
    except SyntaxError as error:
        raise ValueError(f"--reward: {path} cannot be read: line {error.lineno}: {error.msg}") from None
    names = [node.name for node in body if isinstance(node, ast.FunctionDef)]
    targets = [x for node in body for x in getattr(node, "targets", [getattr(node, "target", None)])]
    names += [x.id for x in targets if isinstance(x, ast.Name)]
    names += [x.asname or x.name for node in body if isinstance(node, ast.ImportFrom) for x in node.names]
    validate.require(name in names, ValueError, "command", "no such function", path, name, ", ".join(names) or "none")
    return path, name


def _with_rates(config, began: dict, given: dict):
    """(config, notes): learning rates that nobody said follow from the size of the models that are to learn."""
    notes = []
    learners = {"lr": given["model"], "critic_lr": given["critic"] or given["model"]}
    if config.advantages != "gae":
        validate.require(not given["critic"], ValueError, "command", "no critic", given["critic"], config.advantages)
        del learners["critic_lr"]
    for name, model in learners.items():
        size, who = options.SMALL, f"{model}, no folder here and so taken for a large model"
        if Path(model).is_dir():
            with torch.device("meta"):
                shapes = load_or_explain(partial(without_code, AutoConfig), model)
                shapes = AutoModelForCausalLM.from_config(shapes, trust_remote_code=False)
            size = shapes.num_parameters()
            who = f"{model} with its {size / 1e6:.3g} million parameters"
        rate, had = options.rates(size)[name], getattr(config, name)
        if options.said(began, name):
            if had > 10 * rate:
                notes.append(bridge.Note("kept", name, had, f"you said so; the usual rate for {who} is {rate:g}"))
        elif rate != had:
            notes.append(bridge.Note("changed", name, rate, f"chosen anew for {who}; it was {had:g}"))
            config = replace(config, **{name: rate})
    return config, notes


def _settings(config, given: dict, prompts: int, held: bool) -> tuple[dict, list]:
    """verl's settings, and notes of what is not the same there."""
    how = {"prompts": prompts, "mean_length": given["mean_length"]}
    train = f"$here/train.{given['format']}"
    model, critic = given["model"], given["critic"] or given["model"]
    where = {"train_files": train, "val_files": train.replace("/train.", "/held.") if held else train}
    where |= {"name": Path(given["output"]).resolve().name}
    for who, path in (("model", model), ("critic", critic)):
        where[who] = str(Path(path).resolve()) if Path(path).is_dir() else path  # else a name on the hub
    tests = {"test_first": held, "test_every": 10 if held else -1}
    said = {name: given[name] for name in ("prompt_length", "engine", "tensor_parallel", "gpus", "nodes")}
    launch = bridge.Launch(**PLACES, **where, **tests, **said)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the notes say the same, and more
        settings = bridge.to_verl(config, launch, **how)
    notes = bridge.differences(config, "verl", gpus=given["gpus"] * given["nodes"], **how)
    return settings, [note for note in notes if note.key != "score_clip"]  # verl_reward.py does it


def _quoted(word: str) -> str:
    """One word for bash; `$here` stays what it is."""
    if "$here" not in word:
        return shlex.quote(word)
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _writer(form: str):
    if form == "jsonl":
        return write
    with validate.refusing(ImportError, ValueError, "command", "no pyarrow"):
        import pyarrow
        import pyarrow.parquet
    return lambda path, lines: pyarrow.parquet.write_table(pyarrow.Table.from_pylist(lines), path)
