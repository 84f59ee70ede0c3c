"""The three commands: load, look at the model before, train, look again, save, report.

A first Ctrl-C waits for the end of the iteration and saves; what a second one or a crash leaves is the last checkpoint.
All use a GPU if there is one, and several processes if `torchrun` or `accelerate launch` started them: the first writes
and talks, the others compute. What does not fit into the GPU's memory is refused before the run.
"""

import math
import os
import sys
import warnings
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError

from .. import validate
from ..hardware import memory, processes
from ..hardware import profile as machine
from ..hardware.hardware import Hardware
from ..hardware.rights import give_rights
from ..language import checks, data, reward, rlhf, supervised
from ..language.models import Models, ScalarModel, checksum, device
from ..language.rollout import roll_out
from ..language.sampling import context_limit, generate, token_logps
from ..language.text import end_ids, pad_left, pair_ids, prompt_ids, reply_text
from . import loading, options
from .progress import follow
from .report import finish, parts
from .run_folder import begin, opened

LONGEST = 64  # tokens of the sample replies after fine-tuning
SHOWN = 4  # prompts whose replies stand in the report


def execute(command: str, given: dict) -> None:
    """One of the three commands with its options; errors are ValueError, OSError or FloatingPointError."""
    team = processes.start()
    with warnings.catch_warnings(), opened(command, given, alone=team.first) as (folder, given):
        warnings.showwarning = lambda message, *_, **__: team.first and print(f"note: {message}", file=sys.stderr)
        options.check_needed(command, given)
        if given.get("show_every") is not None:
            validate.integer("--show-every", given["show_every"], 0)
        if given["threads"] is not None:
            torch.set_num_threads(validate.integer("--threads", given["threads"], 1, max(64, os.cpu_count() or 1)))
        try:
            _rlhf(folder, given, team) if command == "rlhf" else _fine_tune(command, folder, given, team)
        except torch.OutOfMemoryError as error:
            less = "Compute less at a time, --set micro_batch=4; or take a smaller --batch, or --lora-rank 16"
            raise ValueError(f"out of memory: {error}. {less}") from error
    if not team.first:  # nothing is left to write, and a library's thread that outlives Python aborts now and then
        os._exit(0)


def _fine_tune(command: str, folder: Path, given: dict, team: processes.Processes) -> None:
    """sft and reward: examples with one reply each, or with several in order."""
    sft, profile, seed = command == "sft", _profile(given, team), given["seed"] or 0
    base = loading.language_model(given["model"])
    tokenizer = loading.tokenizer_of(given["tokenizer"], given["model"], base)
    kind = "demonstrations" if sft else "rankings"
    everything, places, said = data.read(given["data"], kind)
    if team.first:
        print(said)
    replies = [(x.prompt, reply, place) for x, place in zip(everything, places) for reply in x.replies]
    prompts, _, places = zip(*replies)
    tokens = [tuple(map(len, pair_ids(tokenizer, prompt, reply))) for prompt, reply, _ in replies]
    checks.check_lengths(prompts, list(map(sum, tokens)), {"model": base}, places=places)
    held, rest = hold_out(everything, given["held"])
    config, size = _supervised(given, base, len(rest), profile), base.num_parameters()
    team.check(config)
    if profile.memory:
        asked, said = map(max, zip(*tokens))
        most = {"prompt": asked, "reply": said} if sft else {"prompt": asked + said}
        memory.enough(base.config, profile, config, **most, together=max(len(x.replies) for x in rest))
    base, *_ = machine.roles(base, profile, seed=seed, critic=False)
    model = base if sft else ScalarModel.reward(base, seed=seed).to(profile.device)  # with LoRA: on top of the adapter
    del base

    def look() -> tuple[dict, list]:
        with profile.autocast():
            return (_demonstrated if sft else _ranked)(model, tokenizer, held, spread(held or rest))

    once = {"seed": seed, "resume": folder / "run.safetensors", "hardware": Hardware(profile, team)}
    trainer = (supervised.sft if sft else reward.train_reward)(model, tokenizer, rest, config, **once)
    if not team.first:
        deque(trainer, maxlen=0)
        return team.end()
    _announce(command, size, f"{len(rest)} {kind}, {len(held)} held out", config, profile, team)
    first = look()
    now = checksum(model)
    validate.require(given.get("start", now) == now, ValueError, "command", "another start", folder, given["model"])
    begin(command, folder, given | {"start": now}, config)
    rows, seconds = follow(trainer, folder, config.steps, given)
    team.end()  # what follows is the first one's alone
    made, which = f"{folder / 'model'}", ["--tokenizer", given["tokenizer"]] if given["tokenizer"] else []
    if sft:
        following = ["reward", "--model", made, "--data", "rankings.jsonl"]
    else:
        following = ["rlhf", "--model", given["model"], *which, "--reward", made, "--prompts", "prompts.jsonl"]
        with profile.autocast():
            reward.normalize(model, tokenizer, rest[:500])
    _save(model, tokenizer, folder / "model")
    finish(command, folder, rows, first, look(), seconds, following)


def _rlhf(folder: Path, given: dict, team: processes.Processes) -> None:
    names = ("iterations", "batch", "epochs", "max_new_tokens", "lr", "target_kl", "seed", "checkpoint_every")
    start = rlhf.RLHFConfig(checkpoint_every=options.CHECKPOINT_EVERY["rlhf"])
    config = options.with_kl(options.changed(start, given, names), given)
    config = _warmed(config, config.iterations, given)
    validate.used(config, named=[name for name in vars(config) if options.said(given, name)])
    validate.require(not given["documents"] or config.ptx_coef, ValueError, "texts", "idle documents", config.ptx_coef)
    profile = _profile(given, team)
    actor = loading.language_model(given["model"])
    tokenizer = loading.tokenizer_of(given["tokenizer"], given["model"], actor)
    everything, places, said = data.read(given["prompts"], "prompts")
    lengths = [len(prompt_ids(tokenizer, text)) for text in everything]
    if team.first:
        print(said)
    held, prompts = hold_out(everything, given["held"])
    documents = loading.documents_of(given["documents"])
    reward_model = loading.reward_of(given["reward"], tokenizer, actor)  # last: it may go to another folder
    rates = options.rates(size := actor.num_parameters(), adapters=bool(profile.lora_rank))
    rates = {name: x for name, x in rates.items() if not options.said(given, name)}
    config = replace(config, **rates | ({} if config.advantages == "gae" else {"critic_lr": config.critic_lr}))
    team.check(config)
    if profile.memory:
        memory.enough(actor.config, profile, config, prompt=max(lengths), reward=getattr(reward_model, "config", None))
    actor, critic, reference = machine.roles(actor, profile, seed=config.seed, critic=config.advantages == "gae")
    reward_model = reward_model.to(profile.device) if isinstance(reward_model, ScalarModel) else reward_model
    models, hardware = Models(actor, critic, reference, reward_model), Hardware(profile, team)
    checks.own_controller(config, models, prompts, documents)
    checks.encode(config, models, everything, tokenizer, places)

    def look() -> tuple[dict, list]:
        questions = [(text, prompt_ids(tokenizer, text)) for text in held or prompts[:64]]
        plain = replace(config, score_clip=None, no_eos_penalty=0.0)
        seed = torch.Generator().manual_seed(0)
        out = roll_out(models._replace(critic=None), tokenizer, questions, plain, seed, hardware=Hardware(profile))
        length, ended = out.mask.sum(-1).float(), out.ended.float()
        facts = {"score": out.scores, "kl_ref": out.kl_ref, "length": length, "ended": ended}
        samples = [(p, f"{s:+.2f}  {x}") for p, s, x in zip(out.prompts, out.scores.tolist(), out.texts)]
        return {name: x.tolist() for name, x in facts.items()}, spread(samples)

    once = {"tokenizer": tokenizer, "documents": documents, "hardware": hardware}
    trainer = rlhf.rlhf(config, models, prompts, **once, resume=folder / "run.safetensors")
    if not team.first:
        deque(trainer, maxlen=0)
        return team.end()
    _announce("rlhf", size, f"{len(prompts)} prompts, {len(held)} held out", config, profile, team)
    first = look()
    begin("rlhf", folder, given, config)
    rows, seconds = follow(trainer, folder, config.iterations, given)
    team.end()  # what follows is the first one's alone
    _save(actor, tokenizer, folder / "actor")
    if critic is not None:
        _written(folder / "critic", critic.save)
    eps = max(config.eps, config.eps_high or 0)
    finish("rlhf", folder, rows, first, look(), seconds, [], eps=eps, held=len(held))


def hold_out(examples: list, count: int | None) -> tuple[list, list]:
    """(held, rest): every k-th of the prompts, about a tenth of them and at most HELD, or as many as were asked for.

    With a prompt all examples that begin with it are held out, longer dialogues too: none of it is seen in training.
    """
    begins = [_begins(example) for example in examples]
    prompts = list(dict.fromkeys(begins))
    count = min(options.HELD, len(prompts) // 10) if count is None else count
    if not 0 <= count < len(prompts):
        raise ValueError(f"--held {count} must be at least 0 and less than the {len(prompts)} different prompts")
    chosen = {prompts[i * len(prompts) // count] for i in range(count)}
    sides = [[x for x, begin in zip(examples, begins) if (begin in chosen) is side] for side in (True, False)]
    return sides[0], sides[1]


def _begins(example) -> str:
    """The first thing that a user says in it."""
    return next(x["content"] for x in data.turns_of(getattr(example, "prompt", example)) if x["role"] == "user")


def spread(examples: list) -> list:
    """SHOWN of them (or all), evenly over the list: a file may be sorted by topic, and a report should show each."""
    count = min(SHOWN, len(examples))
    return [examples[i * len(examples) // count] for i in range(count)]


def _supervised(given: dict, model, count: int, profile: machine.Profile) -> supervised.SupervisedConfig:
    """The settings of sft and reward: two passes over the data, if nothing else was said."""
    lr = options.ADAPTER_LR if profile.lora_rank else options.LARGE_LR
    lr = options.SMALL_LR if model.num_parameters() < options.SMALL else lr
    every = options.CHECKPOINT_EVERY["sft"]
    config = supervised.SupervisedConfig(batch=min(options.BATCH, count), lr=lr, checkpoint_every=every)
    config = options.changed(config, given, ("steps", "batch", "lr", "checkpoint_every"))
    steps = config.steps if options.said(given, "steps") else max(1, math.ceil(2 * count / max(1, config.batch)))
    return _warmed(replace(config, steps=steps), steps, given)


def _warmed(config, count: int, given: dict):
    """A short run leaves its warm-up: where nothing was said, it takes a fifth of the `count` steps at most."""
    short = min(config.warmup, max(0, count) // 5) if isinstance(count, int) else config.warmup
    return config if options.said(given, "warmup") else replace(config, warmup=short)


def _announce(command: str, size: int, examples: str, config, profile, team=processes.ALONE) -> None:
    several = f"\n  {team.size} processes" if team.size > 1 else ""
    print(machine.banner(profile, sampling=command == "rlhf") + several)
    words = f"a model of {size / 1e6:.3g} million parameters, {examples}, lr {config.lr:g}"
    print(f"{command}: {words}, on the {torch.device(profile.device).type.upper()}", flush=True)


def _profile(given: dict, team: processes.Processes = processes.ALONE) -> machine.Profile:
    """How to use this machine, by what the options and the other processes say."""
    changes = {} if team.device in (None, "cpu") else {"device": team.device}
    if given["lora_rank"] is not None:
        changes["lora_rank"] = validate.integer("--lora-rank", given["lora_rank"], 0)
    if options.said(given, "micro_batch"):
        changes["micro_tokens"] = None  # which would take its place
    return machine.choose(given["profile"] or "auto", **changes)


def _ranked(model, tokenizer, held: list, some: list) -> tuple[dict, list]:
    """The share of pairs that a reward model orders as the `held` rankings do, and its scores of `some`."""
    right = reward.rightly_ordered(model, tokenizer, held) if held else []
    samples = []
    for r, scores in zip(some, reward.score_rankings(model, tokenizer, some)):
        lines = [f"{x:+.2f}  {reply}" for x, reply in zip(scores.tolist(), r.replies)]
        samples.append((r.prompt, "\n".join(lines)))
    return {"accuracy": parts([x.sum().item() for x in right], [len(x) for x in right])} if held else {}, samples


@torch.no_grad()
def _demonstrated(model, tokenizer, held: list, some: list) -> tuple[dict, list]:
    """The mean loss over the reply tokens of `held`, in nats, and the model's own replies to the prompts of `some`."""
    sums, tokens = [], []
    for pair in held:
        rows = supervised.rows_of(*([x] for x in pair_ids(tokenizer, pair.prompt, pair.reply)), 0)
        rows = [x.to(device(model)) for x in rows]
        logp = token_logps(model, *rows[:2], rows[2].shape[-1])
        sums.append(-logp.sum().item())
        tokens.append(logp.numel())
    prompts = [pair.prompt for pair in some]
    asked = [prompt_ids(tokenizer, prompt) for prompt in prompts]
    ids, mask = (x.to(device(model)) for x in pad_left(asked, tokenizer.pad_token_id))
    samples, room = [], (context_limit(model) or math.inf) - ids.shape[1]
    if room > 0:
        ends = {"eos_id": end_ids(tokenizer, model), "pad_id": tokenizer.pad_token_id}
        seed = torch.Generator().manual_seed(0)
        out = generate(model, ids, mask, max_new_tokens=min(LONGEST, room), generator=seed, **ends)
        rows = zip(prompts, out[:, ids.shape[1] :].cpu())
        samples = [(prompt, reply_text(tokenizer, row, prompt=prompt, ends=ends["eos_id"])) for prompt, row in rows]
    return {"loss": parts(sums, tokens)} if held else {}, samples


def _save(model, tokenizer, folder: Path) -> None:
    _written(folder, model.save if isinstance(model, ScalarModel) else model.save_pretrained, tokenizer.save_pretrained)


def _written(folder: Path, *writers: Callable) -> None:
    """Each of them writes into the folder; OSError that says so if one cannot, for the run itself is saved by then."""
    try:
        for write in writers:
            write(folder)
        give_rights(folder)
    except (SafetensorError, OSError, RuntimeError) as error:
        raise OSError(f"could not write {folder} ({error}); make room, or see whether you may write there") from error
