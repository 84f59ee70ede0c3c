"""A tiny model with its tokenizer, and data for it, in a folder: what somebody brings to the command line."""

import json

from tiny_language import build

from course.desk.tiny import train_tokenizer
from ppo_lesson.commands import main as cli

WORDS = ["red", "green", "blue", "cold", "warm", "tea", "coffee", "milk", "please", "thank", "you", "a", "cup", "of"]
REWARD = """
def score(prompt, reply):
    return reply.count("e") / 4

def helper_of_mine(x):
    return x
"""


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def make(folder, kind="llama", **changes):
    """The folder: model/, pairs.jsonl, rankings.jsonl, prompts.jsonl, my_reward.py."""
    prompts = [f"{a} {b} {c}" for a in WORDS[:3] for b in WORDS[3:7] for c in WORDS[7:9]]
    replies = [f"{a} {b}" for a in WORDS[5:8] for b in WORDS[9:12]]
    tokenizer = train_tokenizer([*prompts, *replies], vocab_size=300)
    model = build(kind, vocab_size=len(tokenizer), **{"max_position_embeddings": 64} | changes)
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    write(folder / "prompts.jsonl", [{"prompt": p} for p in prompts])
    write(folder / "pairs.jsonl", [{"prompt": p, "reply": replies[i % 9]} for i, p in enumerate(prompts)])
    ranked = [[f"{WORDS[5 + i % 3]} {b}" for b in WORDS[9:12]] for i in range(len(prompts))]
    write(folder / "rankings.jsonl", [{"prompt": p, "replies": three} for p, three in zip(prompts, ranked)])
    (folder / "my_reward.py").write_text(REWARD)
    return folder


SHORT = ["--iterations", "4", "--batch", "4", "--max-new-tokens", "5", "--lr", "1e-3"]


def rlhf(folder, output, *more, short=SHORT, reward="my_reward.py:score", prompts="prompts.jsonl"):
    """`python -m ppo_lesson rlhf` in this process: its exit status."""
    where = ["--model", f"{folder / 'model'}", "--prompts", f"{folder / prompts}", "--output", f"{output}"]
    reward = reward if reward.startswith("/") else f"{folder / reward}"
    return cli.main(["rlhf", *where, "--reward", reward, *short, *more])
