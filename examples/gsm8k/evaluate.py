"""How many GSM8K questions a model answers, greedily.

    python examples/gsm8k/evaluate.py --model runs/gsm8k/ppo/actor --data runs/gsm8k/test.jsonl

Prints the share that reward.py accepts, with its standard error, beside the share by verl's stricter rule, and how many
replies were cut. Uses transformers' own generate, with every flag said: a generation_config may hold a repetition
penalty, and numbers have to be repeated.
Left out: several samples a question (pass@k, majority votes).
"""

import argparse
import json
import math
import sys
from decimal import Decimal
from pathlib import Path

import torch

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[2])]
import reward  # noqa: E402

from ppo_lesson.hardware.profile import choose  # noqa: E402
from ppo_lesson.language.models import load_language_model  # noqa: E402
from ppo_lesson.language.text import load_tokenizer, pad_left, prompt_ids  # noqa: E402


@torch.no_grad()
def replies(model, tokenizer, prompts: list[str], longest: int) -> tuple[list[str], list[bool]]:
    """The likeliest reply to each prompt, token by token, and whether it was cut before its end."""
    ids, mask = (
        x.to(model.device) for x in pad_left([prompt_ids(tokenizer, x) for x in prompts], tokenizer.pad_token_id)
    )
    out = model.generate(
        ids,
        attention_mask=mask.long(),
        max_new_tokens=longest,
        do_sample=False,
        temperature=None,
        top_p=None,
        top_k=None,
        num_beams=1,
        repetition_penalty=1.0,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )[:, ids.shape[1] :]
    cut = [longest == len(row) and tokenizer.eos_token_id not in row.tolist() for row in out]
    return tokenizer.batch_decode(out, skip_special_tokens=True), cut


def main(argv=None) -> dict[str, float]:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0], allow_abbrev=False)
    parser.add_argument("--model", required=True, help="a folder, or a name on the hub")
    parser.add_argument("--data", type=Path, default=Path("runs/gsm8k/test.jsonl"))
    parser.add_argument("--first", type=int, help="only so many questions")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--max-new-tokens", type=int, default=256)
    given = parser.parse_args(argv)
    if not given.data.is_file():
        sys.exit(f"there is no file {given.data}: run prepare.py")
    for name in ("first", "batch", "max_new_tokens"):
        if (x := getattr(given, name)) is not None and x < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1; got {x}")
    try:
        rows = [json.loads(line) for line in given.data.read_text("utf-8").split("\n") if line.strip()][: given.first]
        asked = [(row["prompt"], Decimal(row["answer"])) for row in rows]
    except (ValueError, TypeError, KeyError, ArithmeticError) as error:
        sys.exit(f'{given.data} has no rows of "prompt" and "answer", a number ({error!r}): run prepare.py')
    if not rows:
        sys.exit(f"{given.data} is empty: run prepare.py")
    profile = choose("auto", lora_rank=0)
    model, tokenizer = load_language_model(given.model).eval().to(profile.device), load_tokenizer(given.model)
    right = exact = cut = 0
    for start in range(0, len(rows), given.batch):
        some = asked[start : start + given.batch]
        with profile.autocast():  # float16 below compute capability 8.0, where bfloat16 is only imitated
            texts, ends = replies(model, tokenizer, [prompt for prompt, _ in some], given.max_new_tokens)
        right += sum(reward.answer(text) == value for text, (_, value) in zip(texts, some))
        exact += sum(reward.strict(text) == str(value) for text, (_, value) in zip(texts, some))
        cut += sum(ends)
        print(f"{start + len(some)} of {len(rows)}: {right} right", file=sys.stderr, flush=True)
    n = len(rows)
    share = right / n
    error = math.sqrt(share * (1 - share) / n)
    print(
        f"{share:.1%} ± {error:.1%} of {n} questions; by verl's rule {exact / n:.1%}; {cut / n:.1%} of replies were cut"
    )
    return {"right": share, "strict": exact / n, "cut": cut / n, "n": n}


if __name__ == "__main__":
    main()
