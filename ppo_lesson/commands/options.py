"""What the commands sft, reward and rlhf understand, and the configuration that it makes.

Every option is None where nothing was said, so that a run that goes on can take what it began with. What the help says
of defaults is read from where they are: RLHFConfig, or here for what only the commands know. This file loads nothing
heavy before somebody asks for that help.
"""

from __future__ import annotations

from argparse import RawDescriptionHelpFormatter
from collections import defaultdict
from types import NoneType
from typing import get_args, get_type_hints

DATA = {
    "sft": '{"prompt": "...", "reply": "..."} a line',
    "reward": '{"prompt": "...", "replies": ["best", ..., "worst"]} a line, or "chosen" and "rejected"',
    "rlhf": '{"prompt": "..."} a line',
}
WORDS = {
    "sft": "Fine-tune a language model on demonstrations.",
    "reward": "Train a reward model on rankings.",
    "rlhf": "Train a language model with PPO on a reward model, or on a function of your own.",
}
EXAMPLE = {
    "sft": "--model MODEL --data pairs.jsonl --output runs/sft",
    "reward": "--model runs/sft/model --data rankings.jsonl --output runs/reward",
    "rlhf": "--model runs/sft/model --reward runs/reward/model --prompts prompts.jsonl --output runs/rlhf",
}
SMALL = 20_000_000  # parameters; larger models want other learning rates
SMALL_LR, LARGE_LR, ADAPTER_LR, LARGE_ACTOR_LR = 1e-3, 1e-5, 1e-4, 1e-6  # the last: of rlhf, whose critic has LARGE_LR
BATCH, HELD, SHOW_EVERY = 16, 64, 10  # examples in a step of sft and reward; held out at most; iterations
CHECKPOINT_EVERY = {"sft": 100, "reward": 100, "rlhf": 10}


def add_commands(commands, *, helps: bool = True) -> None:
    """Add the three to argparse's subparsers. helps: with the defaults in their help, for which torch is loaded."""
    rlhf = _defaults() if helps else defaultdict(str)
    large = f"from {SMALL // 1_000_000} million parameters on"
    for name in WORDS:
        example = (
            f"example:\n  python -m ppo_lesson {name} {EXAMPLE[name]}\n  python -m ppo_lesson {name} --output "
            f"runs/{name} --resume        goes on after an interrupt or a crash"
        )
        parser = commands.add_parser(
            name,
            help=WORDS[name],
            description=WORDS[name],
            epilog=example,
            allow_abbrev=False,
            formatter_class=RawDescriptionHelpFormatter,
        )
        say, whole, real = parser.add_argument, {"type": int, "metavar": "N"}, {"type": float, "metavar": "X"}
        say("--model", help="language model to begin with: a folder, or a name on the Hugging Face hub")
        say("--tokenizer", help="its tokenizer's folder, if that is another one")
        if name == "rlhf":
            say("--reward", help="a folder with a reward model, or FILE.py:FUNCTION of (prompt, reply) -> number")
            say("--prompts", help="JSONL: " + DATA[name])
            say("--documents", help="plain texts, one a line, whose loss joins the gradient (with --set ptx_coef=0.5)")
        else:
            say("--data", help="JSONL: " + DATA[name])
        say("--output", help="folder for the model, the numbers and the report", required=True)
        say("--resume", action="store_true", help="go on with the run in --output; options left out stay as they were")
        if name == "rlhf":
            say("--iterations", help=f"rollouts, each with its update ({rlhf['iterations']})", **whole)
            say("--batch", help=f"replies in a rollout ({rlhf['batch']})", **whole)
            say("--epochs", help=f"passes over each rollout ({rlhf['epochs']})", **whole)
            say("--max-new-tokens", help=f"longest reply ({rlhf['max_new_tokens']})", **whole)
            rates = f"{rlhf['lr']} for small models; {large} {_short(LARGE_ACTOR_LR)}, adapters {_short(ADAPTER_LR)}"
            say("--lr", help=f"learning rate ({rates})", **real)
            say("--beta", help=f"price of a nat of KL to the model you began with ({rlhf['beta']})", **real)
            say("--kl", choices=("reward", "loss", "both", "none"), help="where that price is paid (reward)")
            say("--adaptive-kl", help="beta follows this KL, in nats a reply (Ziegler et al. 2019)", **real)
            say("--target-kl", help="stop an update where it is 1.5 times this far from the old policy", **real)
        else:
            say("--steps", help="optimizer steps (two passes over the data)", **whole)
            say("--batch", help=f"examples in a step ({BATCH})", **whole)
            rates = f"{_short(SMALL_LR)} for small models; {large} {_short(LARGE_LR)}, adapters {_short(ADAPTER_LR)}"
            say("--lr", help=f"learning rate ({rates})", **real)
        say("--profile", choices=("auto", "cpu", "t4", "gpu"), help="how to use this machine (auto: a GPU, if any)")
        say("--lora-rank", help="learn adapters of this rank; 0: all weights (16 on a T4, else 0)", **whole)
        say("--seed", help=f"of everything random ({rlhf['seed']})", **whole)
        say("--checkpoint-every", help=f"iterations between checkpoints ({CHECKPOINT_EVERY[name]})", **whole)
        say(
            "--held",
            help=f"examples kept out of training, to measure before and after (a tenth, at most {HELD})",
            **whole,
        )
        say("--set", action="append", metavar="FIELD=VALUE", help="any other setting; --set help=1 lists them")
        say("--threads", help="torch threads (torch decides)", **whole)
        say("--show-every", help=f"iterations between sample replies while it runs ({SHOW_EVERY}; 0: none)", **whole)
        say("--debug", action="store_true", help="show the whole traceback of an error")


def _defaults() -> dict[str, str]:
    """What RLHFConfig holds if nothing is said, in the words of the help."""
    from ..language.settings import RLHFConfig  # only now: it brings torch

    config = RLHFConfig()
    return {name: str(x) for name, x in vars(config).items()} | {"lr": _short(config.lr), "beta": f"{config.kl.beta:g}"}


def _short(rate: float) -> str:
    """
    >>> _short(6e-4), _short(1.5e-05)
    ('6e-4', '1.5e-5')
    """
    number, power = f"{rate:e}".split("e")
    return f"{float(number):g}e{int(power)}"


def rates(size: int, adapters: bool = False) -> dict[str, float]:
    """The learning rates of `rlhf` for a model of `size` parameters, where nothing was said."""
    from ..language.settings import RLHFConfig

    if size < SMALL:
        return {"lr": RLHFConfig.lr, "critic_lr": RLHFConfig.critic_lr}
    return {"lr": ADAPTER_LR if adapters else LARGE_ACTOR_LR, "critic_lr": ADAPTER_LR if adapters else LARGE_LR}


def said(given: dict, name: str) -> bool:
    """Was this setting asked for, as an option of its own or with --set?"""
    return given.get(name) is not None or any(text.startswith(name + "=") for text in given.get("set") or ())


NEEDED = {"sft": ("model", "data"), "reward": ("model", "data"), "rlhf": ("model", "reward", "prompts")}


def check_needed(command: str, options: dict) -> None:
    """ValueError that names the options which are missing."""
    missing = [name for name in NEEDED[command] if options[name] is None]
    if missing:
        raise ValueError(
            f"{command} needs {' and '.join('--' + name for name in missing)}, for example\n"
            f"  python -m ppo_lesson {command} {EXAMPLE[command]}"
        )


def changed(config, options: dict, names: tuple[str, ...]):
    """`config`, a dataclass, with the options called `names` and with every --set FIELD=VALUE."""
    from dataclasses import replace

    given = {name: options[name] for name in names if options[name] is not None}
    for text in options["set"] or ():
        name, value = _assignment(text, type(config))
        if name in given:
            raise ValueError(f"{name} is given twice: as --{name.replace('_', '-')} and with --set; keep one")
        given[name] = value
    return replace(config, **given)


def with_kl(config, options: dict):
    """RLHFConfig with --beta, --kl and --adaptive-kl."""
    from dataclasses import replace

    from ..kl import FixedKL, ZieglerKL

    where, beta, target = options["kl"] or "reward", options["beta"], options["adaptive_kl"]
    if target is not None and where in ("loss", "none"):
        raise ValueError(f"--adaptive-kl sets the price in the reward; with --kl {where} there is none")
    if where == "none" and beta:
        raise ValueError(f"--beta {beta:g} is a price, and with --kl none nobody pays it; leave one of them out")
    beta = config.kl.beta if beta is None else FixedKL(beta).beta  # which refuses a negative one
    in_reward = FixedKL(beta) if target is None else ZieglerKL(beta, target)
    return replace(
        config,
        kl=in_reward if where in ("reward", "both") else None,
        **({"kl_loss": beta} if where in ("loss", "both") else {}),
    )


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
            return name, READ[kind](value)
        except (KeyError, ValueError):
            continue
    wanted = " or ".join("none" if kind is NoneType else kind.__name__ for kind in kinds)
    raise ValueError(f"--set {text}: {name} must be {wanted}; got {value!r}")


READ = {
    int: int,
    float: float,
    str: str,
    bool: lambda text: {"true": True, "false": False}[text.lower()],
    NoneType: lambda text: {"none": None}[text.lower()],
}
