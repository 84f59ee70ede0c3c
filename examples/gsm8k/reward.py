"""The reward of a reply to a GSM8K question: 1 if the number behind its last "####" is the right one, else 0.

    python -m ppo_lesson rlhf --reward examples/gsm8k/reward.py:score --prompts runs/gsm8k/train.jsonl ...

A reward function is asked about (prompt, reply), so the answers come from the files that prepare.py wrote, in the
folder that the environment variable GSM8K names (runs/gsm8k without it).
Left out: points for the format alone, and for an answer that is nearly right; both can be earned without calculating.
"""

import json
import os
import re
from decimal import Decimal
from functools import lru_cache
from pathlib import Path

NUMBER = re.compile(r"(?<![^\W_])(?<!\w_)(?<![.,])([-+]?)\s*[$€£]?\s*([0-9]+)?(\.[0-9]+)?(?![_,.]*\d)")
# 1,234 and 1{,}234, 1\,234, 1 234: one mark between all groups of three digits
GROUPS = re.compile(r"(?<![\d.,])(?<!\d )[0-9]{1,3}(,|\{,\}|\\,|[ \u00a0\u2009\u202f])[0-9]{3}(?:\1[0-9]{3})*(?!\1?\d)")
MINUS = re.compile(r"[\u2212\u2010-\u2014\ufe63\uff0d]|\b(?:minus|negative)\b", re.IGNORECASE)  # its other looks
DASH = re.compile(r"(?<=[^\W\d_]{2})\s+-\s+")  # "Answer - 72"
# the digits are there, the number is another one: 1/2, 7:30, 2^3, 1e3, 4x4, 5k, 10², 2½, 3π, √9, --5
FORMULA = re.compile(
    r"\d\s*[/:^÷\u2044\u2215]\s*\d|\d[eE][-+]?\d|[-+]\s*[-+]\s*\d|√|sqrt|"
    r"\d\s*(?:[xX](?![^\W\d_])|[kK]\b|\\?pi\b|[π²³¹\u2070-\u2079\u00bc-\u00be\u2150-\u215e])"
)


def number(text: str) -> Decimal | None:
    """The one number in `text`, or None if there is none, or there are several, or a formula.

    >>> number(" **$1,234.50** dollars"), number("72."), number("3 of 4")
    (Decimal('1234.50'), Decimal('72'), None)
    """
    text = DASH.sub(" ", MINUS.sub("-", text))
    text = GROUPS.sub(lambda match: match[0].replace(match[1], ""), text)
    found = [match for match in NUMBER.finditer(text) if match[2] or match[3]]
    if len(found) != 1 or FORMULA.search(text):
        return None
    sign, whole, fraction = found[0].groups()
    value = Decimal((whole or "0") + (fraction or ""))
    return -value if sign == "-" else value


def answer(reply: str) -> Decimal | None:
    """The number on the line behind the last "####", or None."""
    _, mark, rest = reply.rpartition("####")
    return number(rest.strip().split("\n")[0]) if mark else None


def strict(reply: str) -> str | None:
    """What verl's rule takes for the answer (utils/reward_score/gsm8k.py, "strict"): text, or None."""
    found = re.findall(r"#### (-?[0-9.,]+)", reply[-300:])
    return found[-1].replace(",", "").replace("$", "") if found else None


@lru_cache
def answers(folder: str) -> dict[str, str]:
    """{prompt: the right number, as text} of train.jsonl and test.jsonl in `folder`."""
    found = {}
    for name in ("train.jsonl", "test.jsonl"):
        path = Path(folder, name)
        if not path.is_file():
            raise FileNotFoundError(f"there is no {path}: run prepare.py, or name its folder in the variable GSM8K")
        rows = map(json.loads, path.read_text("utf-8").strip().split("\n"))  # splitlines cuts inside of texts
        found |= {row["prompt"]: row["answer"] for row in rows}
    return found


def score(prompt: str, reply: str) -> float:
    """1.0 for the right number, else 0.0. KeyError for a prompt that prepare.py did not write."""
    return float(answer(reply) == Decimal(answers(os.environ.get("GSM8K", "runs/gsm8k"))[prompt]))
