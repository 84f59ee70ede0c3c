"""The ward of notebook 15: seven silent bugs of language-model runs, each an edit of the real trainer.

    numbers = examine(desk)                                       of a healthy trainer, after two short iterations
    numbers = examine(desk, PATIENTS["stale-sampler"], seed=1)    of a sick one
    off(numbers)                                                  the numbers that are not what they must be

A healthy run knows these numbers before it starts: a first ratio is 1, a KL of equals is 0. Who the patients are, the
numbers and their limits stand in language.toml. Left out: bugs that raise an error, and what only gold would show.
"""

from __future__ import annotations

import copy
import tomllib
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import torch

from ppo_lesson.language import rlhf as trainer
from ppo_lesson.language.advantages import shape_rewards
from ppo_lesson.language.models import Models, ScalarModel
from ppo_lesson.language.reward import score
from ppo_lesson.language.rollout import ReplyRollout, roll_out

from .ward import Edit, Patient

_TABLE = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
NUMBERS = _TABLE["numbers"]  # name -> title, least, most: in the order in which they are asked
FOUND_BY = {patient["name"]: patient.pop("found_by") for patient in _TABLE["patients"]}  # name -> the number
PATIENTS = {p["name"]: Patient(**p | {"edits": tuple(Edit(*e) for e in p["edits"])}) for p in _TABLE["patients"]}

# Two iterations, the first step large, so that a policy that moved is seen to have moved; a temperature that is not 1,
# so that it matters where it is used; and the sampler's own log-probabilities are kept (tis_cap).
SHORT = trainer.RLHFConfig(iterations=2, batch=16, lr=2e-3, warmup=0, temperature=0.8, tis_cap=2.0)


def examine(desk, patient: Patient | None = None, *, seed: int = 0) -> dict[str, float]:
    """What the known numbers are in a run with the disease (None: healthy): name -> number. About a second."""
    rollouts: list[ReplyRollout] = []

    def watched(*args, **more):
        rollouts.append(roll_out(*args, **more))
        return rollouts[-1]

    models = Models(copy.deepcopy(desk.policy), ScalarModel.critic(desk.policy), desk.policy, desk.judge)
    with patient or nullcontext(), patch.object(trainer, "roll_out", watched):
        config = replace(SHORT, seed=seed)
        rows = list(trainer.rlhf(config, models, desk.prompts, tokenizer=desk.tokenizer))
        first, second = rollouts
        shortest = first.mask.sum(-1).argsort()[:4].tolist()
        own = [[first.prompts[i]] for i in shortest], [[first.texts[i]] for i in shortest]
        alone = torch.cat([score(desk.judge, desk.tokenizer, *x) for x in zip(*own, first.ended[shortest, None])])
        rewards = shape_rewards(second.scores, second.logp, second.logp_ref, second.mask, config.kl.beta)
        paid = (rewards * second.mask).sum(-1)  # (B,)
    T, ends = first.mask.shape[1], first.ids == desk.tokenizer.eos_token_id
    wrote_end = ends[:, -T:].any(-1)  # (B,)
    asked = (first.ids == desk.tokenizer.convert_tokens_to_ids("<user>")).sum(-1)
    numbers = {
        "turns": asked.float().mean(),
        "ends learned": (ends[:, -T:] & first.mask).any(-1)[wrote_end].float().mean(),
        "ended": first.ended.float().mean(),
        "score alone": (first.scores[shortest] - alone).abs().max(),
        "sum of rewards": (paid - second.scores + config.kl.beta * second.kl_ref).abs().max(),
        "first ratio": rows[0]["ratio_error"],
        "KL at the start": first.kl_ref.abs().max(),
        "KL after a step": (second.logp - second.logp_ref).abs().max(),
        "sampler": (second.logp_sampler - second.logp).abs().max(),
    }
    return {name: float(x) for name, x in numbers.items()}


def off(numbers: dict[str, float]) -> list[str]:
    """Names of the numbers outside their limits, in the order of NUMBERS; NaN is outside."""
    return [name for name, x in NUMBERS.items() if not x["least"] <= numbers[name] <= x["most"]]
