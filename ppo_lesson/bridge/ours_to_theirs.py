"""`RLHFConfig` in the words of verl, TRL and OpenRLHF, and their arithmetic of batches.

What a library cannot say is warned about; see `differences`.
"""

import math
import warnings
from dataclasses import make_dataclass

from .. import validate
from ..kl import ZieglerKL
from ..language.settings import RLHFConfig
from . import keys as known
from .keys import ADV, CORRECTION, OFF, VERSIONS, A, C, K, Note, R, either

KL_LOSS = {"k1": "kl", "k2": "mse", "k3": "low_var_kl"}  # ours: the name verl knew first
ESTIMATOR = {"gae": "gae", "group": "grpo", "rloo": "rloo"}
LOSS = {("clip", "token"): "vanilla", ("clip", "sequence-token"): "gspo"}  # objective and ratio: verl's loss_mode
LOSS |= {(ours, "token"): ours.replace("-", "_") for ours in ("cispo", "dppo-tv", "dppo-kl")}
LOSS_TYPE = {"token-mean": "dapo", "seq-mean-token-mean": "grpo", "seq-mean-token-sum": "dr_grpo"}  # of TRL's GRPO
LINE, FLAT = "linear", "constant_with_warmup"  # learning rates, as transformers calls them

# Where, on what and from which files a run of verl takes place, as in keys.toml under launch. None: verl decides.
MADE = [(name, "object | None", None) for name in known.LAUNCH]
Launch = validate.helpful(make_dataclass("Launch", MADE, frozen=True))
NOWHERE = Launch()


def to_verl(
    config: RLHFConfig, launch: Launch = NOWHERE, *, prompts: int | None = None, mean_length: float | None = None
) -> dict:
    """{key: value} for verl 0.9.1. ValueError where verl would refuse the batch sizes; a warning for what is lost.

    prompts: how many there are, from which trainer.total_epochs follows. mean_length: expected tokens of a reply, for
    the target of a ZieglerKL; without it the longest reply.
    """
    return _warned("verl", *_verl(config, launch, prompts, mean_length))


def to_trl(config: RLHFConfig, *, gpus: int = 1) -> dict:
    """Arguments of TRL 1.16's GRPOConfig or RLOOConfig; a warning for losses, ValueError for a run with a critic."""
    return _warned("trl", *_trl(config, Launch(gpus=gpus)))


def to_openrlhf(config: RLHFConfig, *, prompts: int | None = None, mean_length: float | None = None) -> dict:
    """{flag without --: value} for OpenRLHF 0.11's train_ppo_ray; arguments as in `to_verl`, a warning for losses."""
    return _warned("openrlhf", *_openrlhf(config, NOWHERE, prompts, mean_length))


def differences(config: RLHFConfig, library: str, *, gpus: int = 1, prompts=None, mean_length=None) -> list[Note]:
    """What "verl", "trl" or "openrlhf" cannot say of `config`, or says a little differently; the most severe first."""
    validate.require(library in VERSIONS, ValueError, "bridge", "library", tuple(VERSIONS), library)
    said = {"verl": _verl, "trl": _trl, "openrlhf": _openrlhf}[library]
    return known.by_severity(said(config, Launch(gpus=gpus), prompts, mean_length)[1])


def optimizer_steps(
    train_batch_size: int, n: int, ppo_mini_batch_size: int, ppo_epochs=1, gpus=1, micro: int | None = None
) -> dict:
    """The arithmetic of verl's batches, with the refusals of verl 0.9.1. Sizes are prompts, n replies to each of them.

    micro: replies at a time on one GPU. Returns replies of an iteration, replies_a_step, steps_an_epoch, steps of the
    whole iteration, filled (empty replies that verl adds to make the last step full), replies_a_gpu in one step,
    micro_batches of one step (None without micro), and can_clip: False for a single step, whose ratio is 1.

    >>> optimizer_steps(1024, 1, 256, ppo_epochs=2, gpus=8, micro=4)["steps"]
    8
    """
    for name, value in locals().copy().items():
        if name != "micro" or value is not None:
            validate.integer(name, value, 1)
    replies, step = train_batch_size * n, ppo_mini_batch_size * n
    if train_batch_size < ppo_mini_batch_size:
        raise ValueError(validate.refusal("bridge", "mini-batch", train_batch_size, ppo_mini_batch_size))
    if replies % gpus or step % gpus:
        what, size = ("train_batch_size", replies) if replies % gpus else ("ppo_mini_batch_size", step)
        raise ValueError(f"{what} x n = {size} replies cannot be shared equally by gpus={gpus}; make it a multiple")
    validate.require(not micro or step // gpus % micro == 0, ValueError, "bridge", "micro", step // gpus, micro)
    an_epoch = math.ceil(replies / step)
    row = {"replies": replies, "replies_a_step": step, "steps_an_epoch": an_epoch, "steps": an_epoch * ppo_epochs}
    row |= {"filled": an_epoch * step - replies, "replies_a_gpu": step // gpus}
    return row | {"micro_batches": micro and step // gpus // micro, "can_clip": row["steps"] > 1}


def _verl(config, launch, prompts, mean_length):
    keys, notes = _begin(config, "verl")
    asked, gpus = config.batch // config.replies, either(launch.gpus, 1) * either(launch.nodes, 1)
    mini = math.ceil(asked / config.minibatches)
    if mini * config.minibatches != asked:
        notes.append(Note("changed", "minibatches", config.minibatches, f"steps of {mini} prompts, the last not full"))
    mine = optimizer_steps(asked, config.replies, mini, config.epochs, gpus)["replies_a_gpu"]
    micro = _divisor(mine, config.micro_batch, "micro_batch", notes)
    keys |= {"data.train_batch_size": asked, A + "ppo_mini_batch_size": mini, A + "ppo_micro_batch_size_per_gpu": micro}
    keys |= {A + "clip_ratio": config.eps, A + "clip_ratio_high": either(config.eps_high, config.eps)}
    keys |= {A + "use_kl_loss": config.kl_loss > 0, A + "kl_loss_type": KL_LOSS[config.kl_loss_kind]}
    keys |= {CORRECTION + "bypass_mode": not config.rescore, "algorithm.adv_estimator": ESTIMATOR[config.advantages]}
    form = config.objective, "token" if config.ratio == "token" else "sequence-token"
    keys[A + "policy_loss.loss_mode"] = LOSS.get(form, "vanilla")
    said = {"objective"} if config.objective != "plain" else set()
    said |= {"ratio"} if config.ratio == "sequence-token" and config.objective == "clip" else set()
    notes = [note for note in notes if note.key not in said]
    keys |= {A + "clip_ratio_low": 1.0} if config.objective == "cispo" else {}  # verl's limit from below: out of reach
    kl = config.kl
    keys |= {"algorithm.use_kl_in_reward": kl is not None, K + "kl_coef": 0.0 if kl is None else kl.beta}
    keys[K + "type"] = "adaptive" if isinstance(kl, ZieglerKL) else "fixed"
    if isinstance(kl, ZieglerKL):
        keys |= {K + "target_kl": _per_token(config, mean_length, notes), K + "horizon": kl.horizon}
    keys[A + "optim.lr_warmup_steps"] = _warmup(config, notes)
    keys[A + "optim.lr_scheduler_type"] = "cosine" if config.anneal else "constant"
    notes += [Note("changed", "anneal", True, "half a cosine, not a line")] * config.anneal
    keys |= dict.fromkeys(("data.seed", A + "data_loader_seed", C + "data_loader_seed", R + "seed"), config.seed)
    keys |= {follower: keys[leader] for follower, leader in known.FOLLOWS["verl"].items() if follower not in keys}
    keys["trainer.total_training_steps"] = config.iterations
    keys["trainer.save_freq"] = either(config.checkpoint_every, -1)
    if prompts is not None:
        if validate.integer("prompts", prompts, 1) < asked:
            raise ValueError(validate.refusal("bridge", "few prompts", asked, prompts))
        keys["trainer.total_epochs"] = math.ceil(config.iterations / (prompts // asked))
    told = {"critic": None} | vars(launch) | {"critic": either(launch.critic, launch.model)}
    return keys | {known.LAUNCH[name]: value for name, value in told.items() if value is not None}, notes


def _trl(config, launch, *_):
    validate.require(config.advantages != "gae", ValueError, "bridge", "no PPO")
    keys, notes = _begin(config, "rloo" if (rloo := config.advantages == "rloo") else "trl")
    gpus, steps = validate.integer("gpus", launch.gpus, 1), config.epochs * config.minibatches
    if (step := config.batch // config.minibatches) * config.minibatches != config.batch or step % gpus:
        raise ValueError(validate.refusal("bridge", "unequal steps", config.batch, config.minibatches, gpus))
    micro = _divisor(step // gpus, config.micro_batch, "micro_batch", notes)
    keys |= {"per_device_train_batch_size": micro, "gradient_accumulation_steps": step // gpus // micro}
    keys |= {"generation_batch_size": config.batch, "max_steps": config.iterations * steps}
    keys |= {"lr_scheduler_type": LINE if config.anneal else FLAT, "warmup_steps": _warmup(config, notes) * steps}
    every, kl, cispo = config.checkpoint_every, config.kl, config.objective == "cispo"
    keys |= {"save_strategy": "no"} if every is None else {"save_strategy": "steps", "save_steps": every * steps}
    if rloo:
        clip = config.score_clip and [-config.score_clip, config.score_clip]
        keys |= {"reward_clip_range": clip, "beta": kl.beta if kl else 0.0}
    else:
        keys |= {"loss_type": LOSS_TYPE[config.aggregate], "scale_rewards": "group" if config.scale_groups else "none"}
        keys |= {"loss_type": "cispo", "epsilon_high": 1 + either(config.eps_high, config.eps)} if cispo else {}
        keys["importance_sampling_level"] = "sequence" if config.ratio == "sequence" else "token"
        notes = [note for note in notes if note[1:3] not in (("ratio", "sequence"), ("objective", "cispo"))]
    sum_, k3 = config.aggregate == "seq-mean-token-sum", config.kl_loss_kind == "k3" or not config.kl_loss
    for bad, kind, name, why in (
        (rloo and steps > 1, "changed", "ratio", "that of a whole reply, a product over its tokens"),
        (rloo and not sum_, "lost", "aggregate", "RLOO's is seq-mean-token-sum"),
        (sum_ and not rloo and not cispo, "changed", "aggregate", "dr_grpo divides by max_completion_length too"),
        (cispo and config.aggregate != "token-mean", "lost", "aggregate", "cispo's is token-mean"),
        (kl is not None and not rloo, "lost", "kl", "GRPO's price of KL is in the loss: kl_loss"),
        (isinstance(kl, ZieglerKL) and rloo, "lost", "kl", "beta stays what it is"),
        (not k3 and not rloo, "changed", "kl_loss_kind", "k3 alone, of the same mean"),
    ):
        notes += [Note(kind, name, getattr(config, name), why)] if bad else []
    return keys, notes


def _openrlhf(config, _, prompts, mean_length):
    keys, notes = _begin(config, "openrlhf")
    step = config.batch // config.minibatches
    if step * config.minibatches != config.batch:
        notes.append(Note("changed", "minibatches", config.minibatches, f"steps of {step} replies; a rest is left out"))
    micro = _divisor(step, config.micro_batch, "micro_batch", notes)
    keys |= {"rollout.batch_size": config.batch // config.replies, "train.batch_size": step}
    keys |= {"train.micro_batch_size": micro, "rollout.micro_batch_size": micro}
    low, clip = config.eps, either(config.score_clip, known.NO_LIMIT)
    keys |= {"actor.eps_clip_low_high": [low, either(config.eps_high, low)], "reward.clip_range": [-clip, clip]}
    group = "group_norm" if config.scale_groups else "dr_grpo"
    keys[ADV + "estimator"] = group if config.advantages == "group" else config.advantages
    keys["actor.policy_loss_type"] = "ppo" if config.ratio == "token" else "gspo"
    keys["critic.freezing_steps"] = config.critic_warmup or -1
    notes = [note for note in notes if note.key != "critic_warmup" and note[1:3] != ("ratio", "sequence")]
    kl, loss = config.kl, config.kl_loss > 0
    price = config.kl_loss if loss else 0.0 if kl is None else kl.beta
    keys |= {"algo.kl.init_coef": price, "algo.kl.use_loss": loss}
    keys["algo.kl.unbiased_gradient"] = loss and config.kl_loss_ratio
    keys["algo.kl.estimator"] = config.kl_loss_kind if loss else "k1"
    if loss and kl is not None:
        notes.append(Note("lost", "kl", kl, "one price of KL: with kl_loss there is none in the reward"))
    elif isinstance(kl, ZieglerKL):
        keys |= {"algo.kl.target": _per_token(config, mean_length, notes), "algo.kl.horizon": kl.horizon}
    if config.advantages != "gae" and kl is not None and not loss:
        notes.append(Note("changed", "kl", kl, "taken off after the comparison in the group, not before"))
    if config.aggregate == "seq-mean-token-sum":
        keys["actor.loss_agg_mode"] = known.NEUTRAL["aggregate"]
        notes.append(Note("lost", "aggregate", config.aggregate, "token-mean and seq-mean-token-mean only"))
    keys["actor.lr_scheduler"] = LINE if config.anneal else FLAT
    keys["actor.lr_warmup_ratio"] = _warmup(config, notes) / config.iterations
    keys |= {follower: keys[leader] for follower, leader in known.FOLLOWS["openrlhf"].items()}
    keys["ckpt.save_steps"] = either(config.checkpoint_every, -1)
    if prompts is None:
        notes.append(Note("lost", "iterations", config.iterations, "counted in passes over the prompts: give prompts="))
    else:
        iterations = validate.integer("prompts", prompts, 1) * config.replies / config.batch
        keys["train.num_episodes"] = math.ceil(config.iterations / iterations)
    return keys, notes


def _begin(config, library):
    """What has one name there, what ours always does, and notes about what has none."""
    keys = {theirs: getattr(config, ours) for ours, theirs in known.SAME[library].items()} | known.FIXED[library]
    keys |= {theirs: either(getattr(config, ours), OFF) for ours, theirs in known.LIMITS[library].items()}
    notes = []
    for ours, why in known.LOST[library].items():
        value = getattr(config, ours)
        if ours in known.MATTERS_WITH or (ours in known.WITH_CRITIC and config.advantages != "gae"):
            continue  # said with the field that it belongs to, or idle
        if value != known.NEUTRAL[ours] and not (ours == "eps_high" and value == config.eps):
            notes.append(Note("lost", ours, value, why))
    if "kl_loss_ratio" in known.LOST[library] and config.kl_loss and config.kl_loss_ratio:
        notes.append(Note("lost", "kl_loss_ratio", True, known.LOST[library]["kl_loss_ratio"]))
    return keys, notes


def _divisor(total: int, limit: int, name: str, notes: list) -> int:
    """The largest divisor of `total` that is not above `limit`."""
    best = max(d for d in range(1, min(total, limit) + 1) if total % d == 0)
    if best != limit:
        notes.append(Note("changed", name, limit, f"{best}, which divides the {total} replies of one step on one GPU"))
    return best


def _warmup(config, notes: list) -> int:
    notes += [Note("changed", "warmup", config.warmup, "from 0 on: their first moves nothing")] * (config.warmup > 1)
    return config.warmup if config.warmup > 1 else 0


def _per_token(config, mean_length, notes: list) -> float:
    length = config.max_new_tokens if mean_length is None else validate.number("mean_length", mean_length, 1)
    notes.append(Note("changed", "kl", config.kl, f"a target for each token: {config.kl.target:g} nats / {length:g}"))
    return config.kl.target / length


def _warned(library: str, keys: dict, notes: list[Note]) -> dict:
    if lost := [note for note in notes if note.kind == "lost"]:
        warnings.warn(f"{library} {VERSIONS[library]} has no word for: " + "; ".join(map(str, lost)), stacklevel=3)
    return keys
