"""Is what a GPU computes right? Six questions, each with a number and a bound that follows from the number format.

    python benchmarks/gpu.py        asks them first

The model is the help desk's fine-tuned one: its words are likely or not, which random weights' are not. On a CPU the
same code runs without a graph. Left out: several GPUs, which tests/hardware/test_language_processes.py asks on CPUs.
"""

from __future__ import annotations

import copy
import math
import tempfile
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import torch

from course.desk.sweep import load_desk
from ppo_lesson.hardware.decode import Decoder
from ppo_lesson.hardware.hardware import Hardware
from ppo_lesson.hardware.profile import Profile, choose, machine, roles
from ppo_lesson.language.models import Models
from ppo_lesson.language.rlhf import RLHFConfig, rlhf
from ppo_lesson.language.sampling import full_mask, generate, response_mask, token_logps
from ppo_lesson.language.text import pad_left, prompt_ids

ROWS, LONGEST = 64, 32  # replies, tokens of each
SHORT = RLHFConfig(iterations=4, batch=16, max_new_tokens=12, epochs=1, minibatches=2, warmup=0, checkpoint_every=2)


def rounding(dtype: torch.dtype, model, logit: float, *, terms: int = 1) -> float:
    """How far log p may be off in `dtype`: each of 7 matrices a layer, and the head, rounds by half a unit of roundoff
    of its size, up or down; n of them add like sqrt(n), and log p = logit - log-sum-exp has two such numbers, in each
    of two computations. logit: its size. terms: numbers in a sum whose order may differ, if sums round too.
    """
    roundings = 7 * model.config.num_hidden_layers + 1
    return 4 * math.sqrt(roundings * terms) * torch.finfo(dtype).eps / 2 * logit


class Bench:
    """The desk, its model on this device, and prompts of unequal length, padded on the left."""

    def __init__(self, profile: Profile):
        self.profile, self.desk = profile, load_desk()
        tokenizer = self.desk.tokenizer
        self.model = copy.deepcopy(self.desk.policy).to(profile.device).eval()
        rows = [prompt_ids(tokenizer, text) for text in self.desk.held[:ROWS]]
        self.ids, self.mask = (x.to(profile.device) for x in pad_left(rows, tokenizer.pad_token_id))
        draws = torch.Generator().manual_seed(0)
        self.asked = {"max_new_tokens": LONGEST, "eos_id": tokenizer.eos_token_id, "pad_id": tokenizer.pad_token_id}
        self.asked["uniforms"] = torch.rand(ROWS, LONGEST, generator=draws, dtype=torch.float64).to(profile.device)
        with torch.no_grad():
            logits = self.model(self.ids, attention_mask=self.mask.long()).logits
        self.typical, self.largest = logits.std().item(), logits.abs().max().item()

    def models(self, profile: Profile, policy=None) -> Models:
        """Four fresh ones for a short run, from a copy of the desk's or from `policy`; the reward counts letters."""
        self.scored = 0

        def letters(prompt: str, reply: str) -> float:
            self.scored += 1
            return len(reply) / 100

        return Models(*roles(policy or copy.deepcopy(self.desk.policy), profile), letters)

    def train(self, models: Models, profile: Profile, config: RLHFConfig = SHORT, **more) -> Iterator[dict]:
        machine = Hardware(profile)
        return rlhf(config, models, self.desk.prompts, tokenizer=self.desk.tokenizer, hardware=machine, **more)


@torch.no_grad()
def graph_decode(bench: Bench) -> dict:
    """A replayed graph draws the tokens that `generate` draws, in float32; where not, rounding must explain it."""
    eager = generate(bench.model, bench.ids, bench.mask, **bench.asked)
    graph = Decoder(prompt=bench.ids.shape[1])(bench.model, bench.ids, bench.mask, **bench.asked)
    bound, P = (
        rounding(torch.float32, bench.model, bench.largest, terms=bench.model.config.hidden_size),
        bench.ids.shape[1],
    )
    nearest = []  # for rows that differ: how far the number drawn was from the border between the two first tokens
    for row in (eager != graph).any(-1).nonzero()[:, 0].tolist():
        t = int((eager[row] != graph[row]).nonzero()[0]) - P
        sees = torch.cat([bench.mask[row].bool(), bench.mask.new_ones(t, dtype=torch.bool)])
        logits = bench.model(eager[row, : P + t][sees][None]).logits[0, -1].double()
        borders, u = logits.softmax(-1).cumsum(-1), bench.asked["uniforms"][row, t]
        nearest.append((borders - u).abs().min().item())
    return {"rows that differ": len(nearest), "farthest from a border": max(nearest, default=0.0), "bound": bound}


@torch.no_grad()
def half_decode(bench: Bench) -> dict:
    """What a graph in half precision says of the tokens it draws, against float32: mean |difference of log p|."""
    half = bench.profile.half or torch.bfloat16
    decode = Decoder(prompt=bench.ids.shape[1], half=half)
    out, logps = decode(bench.model, bench.ids, bench.mask, return_logps=True, **bench.asked)
    mask = response_mask(out[:, bench.ids.shape[1] :], bench.asked["eos_id"])
    right = token_logps(bench.model, out, full_mask(bench.mask, mask), LONGEST)
    off = (logps - right)[mask].abs()
    return {"mean": off.mean().item(), "largest": off.max().item(), "bound": rounding(half, bench.model, bench.typical)}


@torch.no_grad()
def log_probs(bench: Bench) -> dict:
    """token_logps of a padded batch against transformers' forward, one text at a time without padding: largest."""
    out = generate(bench.model, bench.ids, bench.mask, **bench.asked)
    P = bench.ids.shape[1]
    mask = response_mask(out[:, P:], bench.asked["eos_id"])
    batch, farthest = token_logps(bench.model, out, full_mask(bench.mask, mask), LONGEST), 0.0
    for row in range(ROWS):
        n = int(mask[row].sum())
        text = torch.cat([bench.ids[row][bench.mask[row].bool()], out[row, P : P + n]])
        logp = bench.model(text[None]).logits[0, -n - 1 : -1].float().log_softmax(-1)
        plain = logp.gather(-1, text[-n:, None])[:, 0]
        farthest = max(farthest, (plain - batch[row, :n]).abs().max().item())
    bound = rounding(torch.float32, bench.model, bench.largest, terms=bench.model.config.hidden_size)
    return {"largest": farthest, "bound": bound}


def lora(bench: Bench) -> dict:
    """Both adapters move, actor's and critic's, and no weight of their common base: how many do otherwise."""
    profile, whole = replace(bench.profile, lora_rank=4), copy.deepcopy(bench.desk.policy)
    models = bench.models(profile, whole)
    before = {name: p.detach().clone() for name, p in whole.named_parameters()}
    rows = list(bench.train(models, profile))
    moved = {name for name, p in whole.named_parameters() if not torch.equal(p.detach(), before[name])}
    adapters = {name for name in before if ".lora_" in name}
    missing = [who for who in ("actor", "critic") if not any(f".{who}." in name for name in adapters)]
    wrong = missing + sorted(moved ^ adapters)
    return {"wrong": len(wrong), "which": wrong[:4], "kl at the start": rows[0]["kl_ref"], "bound": 0}


def float16(bench: Bench) -> dict:
    """float16 with scaled losses: numbers are finite, and after its scale is found no step is left out."""
    profile = replace(bench.profile, half=torch.float16, loss_scaling=True)
    models = bench.models(profile)
    rows = list(bench.train(models, profile, replace(SHORT, iterations=8)))
    finite = all(math.isfinite(x) for row in rows for x in row.values() if isinstance(x, float))
    moved = any(not torch.equal(a, b.to(a)) for a, b in zip(models.actor.parameters(), bench.desk.policy.parameters()))
    late = sum(row.get("skipped", 0) for row in rows[-2:])
    return {
        "wrong": (not finite) + (not moved) + late,
        "steps left out at first": rows[0].get("skipped", 0),
        "bound": 0,
    }


def resumed(bench: Bench) -> dict:
    """A run that is killed after its third iteration goes on from its checkpoint: the same replies, the same weights.

    On a CPU bit by bit. A GPU may add gradients in another order, and Adam makes a step of size lr of any sign: weights
    may then differ by two steps in each iteration since the checkpoint.
    """
    whole, again = bench.models(bench.profile), bench.models(bench.profile)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.safetensors"
        rows = list(bench.train(whole, bench.profile))
        run = bench.train(again, bench.profile, resume=path)
        list(islice(run, 3))
        del run  # as a kill does: nothing is saved
        again = bench.models(bench.profile)
        late = list(bench.train(again, bench.profile, resume=path))
    pairs = list(zip(whole.actor.parameters(), again.actor.parameters()))
    off = max((a - b).abs().max().item() for a, b in pairs)
    went_on = bench.scored < SHORT.batch * SHORT.iterations  # some of it again, to recognise the reward
    told = went_on and len(rows) == len(late) and rows[2]["replies"] == late[2]["replies"]
    bound = 0.0 if bench.profile.device == "cpu" else 2 * SHORT.lr * 2 * SHORT.minibatches
    return {"weights": off if told else math.inf, "scored anew": bench.scored, "bound": bound}


QUESTIONS: dict[str, tuple[Callable, str]] = {
    "graph decode, float32": (graph_decode, "farthest from a border"),
    "graph decode, half": (half_decode, "mean"),
    "log-probs": (log_probs, "largest"),
    "LoRA adapters": (lora, "wrong"),
    "float16": (float16, "wrong"),
    "killed and resumed": (resumed, "weights"),
}

GRAPHS = ("graph decode, float32", "graph decode, half")


def ask(profile: Profile | None = None, left: Callable[[], float] = lambda: math.inf) -> Iterator[tuple[str, dict]]:
    """(question, what was found) one after the other; "right" says whether the number keeps its bound. What fails is
    not right, and what a missing library forbids, or time, is neither: "right" is None there, and "error" says why.
    left: seconds that are left.
    """
    profile = profile or choose("auto", machine(), static_decode=True, lora_rank=0)
    bench = Bench(profile)
    for name, (question, number) in QUESTIONS.items():
        if left() <= 0:
            yield name, {"right": None, "error": "not run: 0 s are left"}
            continue
        try:
            found = question(bench)
            found |= {"right": found[number] <= found["bound"]}
        except ImportError as error:
            found = {"right": None, "error": f"not run: {error}"}
        except Exception as error:  # the others may still be answered
            traceback.print_exc()
            found = {"right": False, "error": f"failed: {error!r}"}
        if name in GRAPHS and profile.device == "cpu":
            found["without"] = "a graph, which needs a GPU"
        yield name, found
