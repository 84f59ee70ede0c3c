"""What the commands understand, and the configuration that it makes.

The options themselves stand in options.toml. Those of sft, reward and rlhf are None where nothing was said, so that a
run that goes on can take what it began with. What the help says of defaults is read from where they are: RLHFConfig, or
here for what only the commands know. This file loads nothing heavy before somebody asks for that help.
"""

import tomllib
from argparse import RawDescriptionHelpFormatter
from collections import defaultdict
from dataclasses import replace
from importlib.resources import files
from types import NoneType
from typing import get_args, get_type_hints

_READ = tomllib.loads(files(__package__).joinpath("options.toml").read_text("utf-8"))
COMMANDS, OPTIONS = _READ["commands"], _READ["option"]  # the three that train; every option of all four
OPTION_KINDS = {None: {}, "flag": {"action": "store_true"}}
OPTION_KINDS |= {"int": {"type": int, "metavar": "N"}, "float": {"type": float, "metavar": "X"}}
SMALL = 20_000_000  # parameters; larger models want other learning rates
SMALL_LR, LARGE_LR, ADAPTER_LR, LARGE_ACTOR_LR = 1e-3, 1e-5, 1e-4, 1e-6  # the last: of rlhf, whose critic has LARGE_LR
BATCH, HELD, SHOW_EVERY = 16, 64, 10  # examples in a step of sft and reward; held out at most; iterations
LITERALS = {bool: {"true": True, "false": False}, NoneType: {"none": None}}  # values of --set that are no numbers
CHECKPOINT_EVERY = {"sft": 100, "reward": 100, "rlhf": 10}


def add_commands(commands, *, helps: bool = True) -> None:
    """Add the three to argparse's subparsers. helps: with the defaults in their help, for which torch is loaded."""
    for name, command in COMMANDS.items():
        about = {"help": command["help"], "description": command["help"]}
        about["epilog"] = _READ["epilog"].format(name=name, example=command["example"])
        parser = commands.add_parser(name, **about, allow_abbrev=False, formatter_class=RawDescriptionHelpFormatter)
        add_options(parser, name, helps=helps)


def add_options(parser, command: str, *, helps: bool = True) -> None:
    """Add the options of one command to its parser."""
    known = _defaults(command) if helps else defaultdict(str)
    for option in OPTIONS:
        given = dict(option)
        if command in given.pop("of", COMMANDS):
            name, kind = given.pop("name"), OPTION_KINDS[given.pop("kind", None)]
            parser.add_argument(name, **given | kind | {"help": given["help"].format_map(known)})


def _defaults(command: str) -> dict[str, str]:
    """What the help fills in: the defaults of RLHFConfig, and what is said above."""
    from numpy import format_float_scientific

    from ..language.settings import RLHFConfig  # only now: it brings torch

    config = RLHFConfig()
    known = vars(config) | {name: x for name, x in globals().items() if name.isupper()}
    short = {"trim": "-", "exp_digits": 1}  # 1.5e-4
    rates = {name: x for name, x in known.items() if name == "lr" or name.endswith("_LR")}
    known |= {name: format_float_scientific(x, **short) for name, x in rates.items()}
    known |= {"SMALL": SMALL // 1_000_000, "CHECKPOINT_EVERY": CHECKPOINT_EVERY.get(command)}
    return known | {"beta": f"{config.kl.beta:g}", "data": COMMANDS.get(command, COMMANDS["rlhf"])["data"]}


def rates(size: int, adapters: bool = False) -> dict[str, float]:
    """The learning rates of `rlhf` for a model of `size` parameters, where nothing was said."""
    from ..language.settings import RLHFConfig

    if size < SMALL:
        return {"lr": RLHFConfig.lr, "critic_lr": RLHFConfig.critic_lr}
    return {"lr": ADAPTER_LR if adapters else LARGE_ACTOR_LR, "critic_lr": ADAPTER_LR if adapters else LARGE_LR}


def said(given: dict, name: str) -> bool:
    """Was this setting asked for, as an option of its own or with --set?"""
    return given.get(name) is not None or any(text.startswith(name + "=") for text in given.get("set") or ())


def check_needed(command: str, options: dict) -> None:
    """ValueError that names the options which are missing."""
    missing = [name for name in COMMANDS[command]["needed"] if options[name] is None]
    if missing:
        known = {"command": command, "missing": " and ".join(f"--{name}" for name in missing)}
        raise ValueError(_READ["needs"].format_map(known | COMMANDS[command]))


def changed(config, options: dict, names: tuple[str, ...]):
    """`config`, a dataclass, with the options called `names` and with every --set FIELD=VALUE."""
    given = {name: options[name] for name in names if options[name] is not None}
    for text in options["set"] or ():
        name, value = _assignment(text, type(config))
        if name in given:
            raise ValueError(f"{name} is given twice, with --set and before; keep one")
        given[name] = value
    return replace(config, **given)


def with_kl(config, options: dict):
    """RLHFConfig with --beta, --kl and --adaptive-kl."""
    from ..kl import FixedKL, ZieglerKL

    where, beta, target = options["kl"] or "reward", options["beta"], options["adaptive_kl"]
    if target is not None and where in ("loss", "none"):
        raise ValueError(f"--adaptive-kl sets the price in the reward; with --kl {where} there is none")
    if where == "none" and beta:
        raise ValueError(f"--beta {beta:g} is a price, and with --kl none nobody pays it; leave one of them out")
    if where != "reward" and said(options, "kl_loss"):
        raise ValueError(f"--set kl_loss and --kl {where} both say what KL costs in the loss; keep one")
    beta = config.kl.beta if beta is None else FixedKL(beta).beta  # which refuses a negative one
    in_reward = FixedKL(beta) if target is None else ZieglerKL(beta, target)
    in_loss = {"kl_loss": beta} if where in ("loss", "both") else {}
    return replace(config, kl=in_reward if where in ("reward", "both") else None, **in_loss)


def _assignment(text: str, settings) -> tuple:
    """ "eps=0.3" -> ("eps", 0.3), by the type that the field of the dataclass `settings` has."""
    from ..validate import misspelled

    name, sign, value = text.partition("=")
    known = get_type_hints(settings)
    if name == "help":
        raise ValueError("--set knows " + ", ".join(f"{key}={getattr(settings, key, None)}" for key in known))
    if not sign:
        raise ValueError(f"--set must look like FIELD=VALUE; got {text!r}")
    if wrong := misspelled(settings, name):
        raise ValueError(f"--set {text}: {wrong}")
    kinds = get_args(known[name]) or (known[name],)
    if name == "kl":
        raise ValueError("--set kl: say --beta and --kl reward, loss, both or none instead")
    for kind in sorted(kinds, key=lambda kind: kind is not NoneType):
        try:
            return name, LITERALS[kind][value.lower()] if kind in LITERALS else kind(value)
        except (KeyError, ValueError):
            continue
    wanted = " or ".join("none" if kind is NoneType else kind.__name__ for kind in kinds)
    raise ValueError(f"--set {text}: {name} must be {wanted}; got {value!r}")
