"""PPO with a critic on GSM8K: `python -m ppo_lesson rlhf` with the settings of settings.toml.

    python examples/gsm8k/train.py --data runs/gsm8k --output runs/gsm8k/ppo --model Qwen/Qwen2.5-0.5B-Instruct

What stands behind these options goes to rlhf as it is and wins, `--resume` and `--iterations 30` for example.
Left out: a verifier that reads the steps; the reward sees the last number alone.
"""

import argparse
import os
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from ppo_lesson.commands.main import main as ppo_lesson  # noqa: E402


def settings() -> dict[str, list[dict]]:
    """settings.toml: "option" and "set", lists of name, value and reason."""
    return tomllib.loads((HERE / "settings.toml").read_text("utf-8"))


def table() -> str:
    """The settings with their reasons, as the page shows them."""
    rows = [f"| `--{x['name']} {x['value']}` | {x['reason']} |" for x in settings()["option"]]
    rows += [f"| `--set {x['name']}={x['value']}` | {x['reason']} |" for x in settings()["set"]]
    return "\n".join(["| setting | why |", "|--|--|", *rows])


def words(given: argparse.Namespace, more: list[str]) -> list[str]:
    """The command line of rlhf."""
    line = ["rlhf", "--output", str(given.output)]
    if "--resume" in more:  # a run that goes on keeps what it began with
        return line + more
    line += [
        "--model",
        given.model,
        "--prompts",
        str(given.data / "train.jsonl"),
        "--reward",
        f"{HERE}/reward.py:score",
    ]
    said = {word.partition("=")[0] for word in more}  # --batch=32 and lam=0.95 alike
    for option in settings()["option"]:
        if f"--{option['name']}" not in said:
            line += [f"--{option['name']}", str(option["value"])]
    for option in settings()["set"]:
        if option["name"] not in said:
            line += ["--set", f"{option['name']}={option['value']}"]
    return line + more


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0], allow_abbrev=False)
    parser.add_argument("--model", default="Qwen/Qwen2.5-0.5B-Instruct", help="a folder, or a name on the hub")
    parser.add_argument("--data", type=Path, default=Path("runs/gsm8k"), help="the folder that prepare.py wrote")
    parser.add_argument("--output", type=Path, default=Path("runs/gsm8k/ppo"))
    given, more = parser.parse_known_args(argv)
    os.environ["GSM8K"] = str(given.data)
    return ppo_lesson(words(given, more))


if __name__ == "__main__":
    sys.exit(main())
