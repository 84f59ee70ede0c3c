"""Settings of verl, TRL and OpenRLHF as `RLHFConfig`, with notes about everything that did not go over as it was."""

import math

from .. import validate
from ..kl import FixedKL, ZieglerKL
from ..language.settings import RLHFConfig
from . import keys as known
from .command_line import flat
from .keys import ADV, CORRECTION, OFF, A, K, Note, R, either
from .ours_to_theirs import ESTIMATOR, LOSS, LOSS_TYPE, optimizer_steps

PAIRS = {"actor.eps_clip_low_high", "reward_clip_range"}  # of numbers, but None by default
AGGREGATE = {loss: ours for ours, loss in LOSS_TYPE.items()} | {"cispo": "token-mean"}  # of TRL's GRPO
MAY_BE_NULL = {A + "clip_ratio_low", A + "clip_ratio_high"}  # then clip_ratio counts


def from_verl(settings: dict, *, prompts: int | None = None, mean_length: float | None = None):
    """(RLHFConfig, notes) of settings for verl 0.9.1, flat or nested; what they leave out has verl's default.

    ValueError, as by verl, for batch sizes that do not fit. Arguments as in `to_verl`.
    """
    keys, made, notes = _read("verl", settings)
    train, n, mini = keys["data.train_batch_size"], keys[R + "n"], keys[A + "ppo_mini_batch_size"]
    steps = optimizer_steps(train, n, mini, keys[A + "ppo_epochs"])
    made |= {"batch": steps["replies"], "minibatches": steps["steps_an_epoch"]}
    notes += [Note("changed", A + "ppo_mini_batch_size", mini, "their last step is smaller")] * (steps["filled"] > 0)
    micro = A + "ppo_micro_batch_size_per_gpu"
    if (made_micro := _whole(keys, micro)) is None:
        why = "verl goes by tokens instead" if keys[A + "use_dynamic_bsz"] else "verl refuses to start without it"
        notes.append(Note("changed", micro, None, why + "; ours keeps its own"))
    made |= {"micro_batch": made_micro} if made_micro else {}
    total = _whole(keys, "trainer.total_training_steps")
    if prompts is not None:
        passes = keys["trainer.total_epochs"] * (validate.integer("prompts", prompts, train) // train)
        total = min(either(total, passes), passes)  # whichever end comes first
    made |= _iterations(total, "trainer.total_epochs", keys, notes)
    warmup, ratio = keys[A + "optim.lr_warmup_steps"], keys[A + "optim.lr_warmup_steps_ratio"]
    made["warmup"] = warmup if warmup > 0 else int(ratio * made.get("iterations", 0))
    made["anneal"] = keys[A + "optim.lr_scheduler_type"] == "cosine"
    notes += [Note("changed", A + "optim.lr_scheduler_type", "cosine", "a line down to 0")] * made["anneal"]
    narrow, low, high = (keys[A + name] for name in ("clip_ratio", "clip_ratio_low", "clip_ratio_high"))
    made["eps"], high = either(low, narrow), either(high, narrow)
    made["eps_high"] = None if high == made["eps"] else high
    if narrow not in (made["eps"], high):
        notes.append(Note("ignored", A + "clip_ratio", narrow, "clip_ratio_low and clip_ratio_high win"))
    made |= {"rescore": not keys[CORRECTION + "bypass_mode"], "kl": None}
    made |= {"kl_loss": keys[A + "use_kl_loss"] * keys[A + "kl_loss_coef"], "kl_loss_ratio": False}
    made["kl_loss_kind"] = _kind(keys[A + "kl_loss_type"], made["kl_loss"], notes)
    made["advantages"] = _one_of(keys, "algorithm.adv_estimator", {x: ours for ours, x in ESTIMATOR.items()}, notes)
    modes = {mode: ours for ours, mode in LOSS.items()}
    made["objective"], made["ratio"] = _one_of(keys, A + "policy_loss.loss_mode", modes, notes)
    if made["objective"] == "cispo":
        made["eps_high"], low = high, made.pop("eps")
        notes += [Note("lost", A + "clip_ratio_low", low, "ours limits a weight from above alone")] * (low < 1)
    elif made["objective"] != "clip" and made["dual_clip"]:
        notes.append(Note("lost", A + "clip_ratio_c", made["dual_clip"], "ours does not limit DPPO's ratio"))
    made["aggregate"] = _one_of(keys, A + "loss_agg_mode", {mode: mode for mode in LOSS_TYPE}, notes)
    if keys["algorithm.use_kl_in_reward"]:
        target = keys[K + "target_kl"] if keys[K + "type"] == "adaptive" else None
        made["kl"] = _controller(keys[K + "kl_coef"], K + "target_kl", target, keys[K + "horizon"], mean_length, notes)
    made["seed"] = either(keys["data.seed"], keys[A + "data_loader_seed"])
    made["checkpoint_every"] = keys["trainer.save_freq"] if keys["trainer.save_freq"] > 0 else None
    return _config(made, "verl"), known.by_severity(notes)


def from_trl(settings: dict, *, gpus: int = 1, trainer: str = "GRPOTrainer"):
    """(RLHFConfig, notes) of arguments for TRL 1.16's GRPOConfig, or of RLOOConfig if that is the trainer's."""
    validate.require(trainer in ("GRPOTrainer", "RLOOTrainer"), ValueError, "bridge", "trainer", trainer)
    library = "rloo" if trainer == "RLOOTrainer" else "trl"
    keys, made, notes = _read(library, settings)
    micro = keys["per_device_train_batch_size"]
    step = micro * keys["gradient_accumulation_steps"] * gpus
    batch = micro * gpus * (_whole(keys, "steps_per_generation") or keys["gradient_accumulation_steps"])
    batch = _whole(keys, "generation_batch_size") or batch
    made |= {"batch": batch, "micro_batch": micro, "minibatches": max(1, batch // step)}
    steps = made["minibatches"] * keys["num_iterations"]
    total = math.ceil(keys["max_steps"] / steps) if keys["max_steps"] > 0 else None
    made |= _iterations(total, "max_steps", keys, notes)
    if library == "rloo":
        made |= {"advantages": "rloo", "kl": FixedKL(keys["beta"]) if keys["beta"] else None}
        made |= {"aggregate": "seq-mean-token-sum", "score_clip": _score_clip(keys, "reward_clip_range", notes)}
        notes += [Note("changed", "trainer", trainer, "its ratio is that of a whole reply, a product")] * (steps > 1)
    else:
        made |= {"advantages": "group", "kl": None, "kl_loss_kind": "k3"}
        made["ratio"] = _one_of(keys, "importance_sampling_level", {"token": "token", "sequence": "sequence"}, notes)
        made["aggregate"] = _one_of(keys, "loss_type", AGGREGATE, notes)
        if keys["loss_type"] == "cispo":  # whose epsilon_high is the largest weight itself
            validate.require(either(made["eps_high"], 0.0) > 1, ValueError, "bridge", "cispo", made["eps_high"])
            made |= {"objective": "cispo", "eps_high": made["eps_high"] - 1, "eps": RLHFConfig.eps}
        made["scale_groups"] = _one_of(keys, "scale_rewards", {"group": True, "none": False}, notes)
    made |= {"anneal": _falls(keys, "lr_scheduler_type", notes), "warmup": int(keys["warmup_steps"]) // steps}
    made["checkpoint_every"] = max(1, keys["save_steps"] // steps) if keys["save_strategy"] == "steps" else None
    return _config(made, library), known.by_severity(notes)


def from_openrlhf(settings: dict, *, prompts: int | None = None, mean_length: float | None = None):
    """(RLHFConfig, notes) of flags of OpenRLHF 0.11's train_ppo_ray, without their --; else as `from_verl`."""
    keys, made, notes = _read("openrlhf", settings)
    made["batch"] = keys["rollout.batch_size"] * keys["rollout.n_samples_per_prompt"]
    made["minibatches"], rest = divmod(made["batch"], keys["train.batch_size"])
    validate.require(made["minibatches"], ValueError, "bridge", "no step", keys["train.batch_size"], made["batch"])
    notes += [Note("changed", "train.batch_size", keys["train.batch_size"], f"{rest} replies go unused")] * (rest > 0)
    if _whole(keys, "rollout.max_new_tokens") is None:
        notes.append(Note("changed", "rollout.max_new_tokens", None, "what data.max_len leaves; ours keeps its own"))
        del made["max_new_tokens"]
    size, passes = keys["rollout.batch_size"], keys["train.num_episodes"]
    total = None if prompts is None else passes * validate.integer("prompts", prompts, size) // size
    made |= _iterations(total, "train.num_episodes", keys, notes)
    low, high = either(keys["actor.eps_clip_low_high"], [keys["actor.eps_clip"]] * 2)
    made |= {"eps": low, "eps_high": None if high == low else high}
    if keys["actor.eps_clip"] not in (low, known.DEFAULTS["openrlhf"]["actor.eps_clip"]):
        notes.append(Note("ignored", "actor.eps_clip", keys["actor.eps_clip"], "actor.eps_clip_low_high wins"))
    made["entropy_coef"] = either(made["entropy_coef"], 0.0)
    made["score_clip"] = _score_clip(keys, "reward.clip_range", notes)
    price, loss = keys["algo.kl.init_coef"], keys["algo.kl.use_loss"]
    made |= {"kl_loss": price if loss else 0.0, "kl": None}
    if loss:
        made["kl_loss_kind"] = keys["algo.kl.estimator"]
    elif price:
        target, horizon = keys["algo.kl.target"], keys["algo.kl.horizon"]
        made["kl"] = _controller(price, "algo.kl.target", target, horizon, mean_length, notes)
        if keys["algo.kl.estimator"] != "k1":
            notes.append(Note("lost", "algo.kl.estimator", keys["algo.kl.estimator"], "ours has k1 in the reward"))
    words = {"gae": "gae", "group_norm": "group", "dr_grpo": "group", "rloo": "rloo"}
    made["critic_warmup"] = max(0, keys["critic.freezing_steps"])
    made["advantages"] = _one_of(keys, ADV + "estimator", words, notes)
    whole = "sequence-token" if made["advantages"] == "gae" else "sequence"
    made["ratio"] = _one_of(keys, "actor.policy_loss_type", {"ppo": "token", "gspo": whole}, notes)
    made |= {"scale_groups": keys[ADV + "estimator"] != "dr_grpo", "anneal": _falls(keys, "actor.lr_scheduler", notes)}
    made["warmup"] = round(keys["actor.lr_warmup_ratio"] * made.get("iterations", 0))
    made["checkpoint_every"] = keys["ckpt.save_steps"] if keys["ckpt.save_steps"] > 0 else None
    return _config(made, "openrlhf"), known.by_severity(notes)


def _read(library: str, settings: dict) -> tuple[dict, dict, list[Note]]:
    """Every key that this bridge knows, as given or by default; what has one name in ours; and the first notes."""
    validate.require(isinstance(settings, dict), TypeError, "bridge", "no dict", type(settings).__name__)
    given, defaults, notes = flat(settings), dict(known.DEFAULTS[library]), []
    leaders, fixed = known.FOLLOWS[library], known.FIXED[library]
    launch = {*known.LAUNCH.values(), "trainer.total_epochs"} if library == "verl" else set()
    for key, value in given.items():
        if key in defaults:
            _check(key, value, defaults[key])
        elif key in launch:
            notes.append(Note("launch", key, value, "where and on what it runs: not in RLHFConfig"))
        elif key not in leaders:
            older = library == "openrlhf" and "." not in key
            why = "a name of older versions? In 0.11.2 they have dots" if older else "this bridge does not know it"
            notes.append(Note("unknown", key, value, why))
    for switch, prices in known.SWITCHES.get(library, {}).items():
        if not given.get(switch, False):
            why = f"nobody asks for it: {switch} is False"
            notes += [Note("ignored", key, given[key], why) for key in prices if given.get(key)]
    keys = defaults | given
    for follower, leader in leaders.items():
        if follower in given and follower not in fixed and given[follower] != keys[leader]:
            notes.append(Note("changed", follower, given[follower], f"ours has one setting for it and {leader}"))
        keys.setdefault(follower, keys[leader])
    for key, ours in fixed.items():
        theirs = list(keys[key]) if isinstance(keys[key], tuple) else keys[key]
        if theirs != ours:
            notes.append(Note("changed", key, theirs, f"ours is always {ours!r}"))
    ignored = {key: why for key, why in known.IGNORED[library].items() if keys[key] != defaults[key]}
    notes += [Note("ignored", key, keys[key], why) for key, why in ignored.items()]
    made = {ours: keys[theirs] for ours, theirs in known.SAME[library].items()}
    limits = {ours: keys[theirs] for ours, theirs in known.LIMITS[library].items()}
    return keys, made | {ours: None if x >= OFF else x for ours, x in limits.items()}, notes


def _whole(keys: dict, key: str) -> int | None:
    return None if keys[key] is None else validate.integer(key, keys[key], 1)


def _iterations(total: int | None, key: str, keys: dict, notes: list) -> dict:
    notes += [Note("changed", key, keys[key], known.PASSES[key])] * (total is None)
    return {} if total is None else {"iterations": total}


def _check(key: str, value, default) -> None:
    """Refuse a value of another kind than the default; where that is None, whoever uses the value looks."""
    validate.require(not (isinstance(value, str) and "$" in value), ValueError, "bridge", "reference", key, value)
    if isinstance(default, bool):
        validate.require(isinstance(value, bool), ValueError, "bridge", "no switch", key, value)
    elif isinstance(default, int):
        validate.integer(key, value, 1 if default > 0 and not key.endswith("seed") else min(default, 0))
    elif isinstance(default, float) and not (value is None and key in MAY_BE_NULL):
        validate.number(key, value)
    elif isinstance(default, str) and not isinstance(value, str):
        raise ValueError(f"{key} must be a word such as {default!r}; got {value!r}")
    elif isinstance(default, list) or (key in PAIRS and value is not None):
        two = isinstance(value, list | tuple) and len(value) == 2
        validate.require(two, ValueError, "bridge", "two numbers", key, default or [0.2, 0.3], value)
        for number in value:
            validate.number(key, number)


def _one_of(keys: dict, key: str, words: dict, notes: list):
    """Our word for the value of `key`; where we have none, our first, and a note."""
    first = next(iter(words))
    if keys[key] not in words:
        notes.append(Note("lost", key, keys[key], f"ours knows {', '.join(words)}; this is {first}"))
    return words.get(keys[key], words[first])


def _kind(name: str, price: float, notes: list) -> str:
    """verl's name of an estimator of KL -> ours. A "+" gives any of them the gradient of k2."""
    kinds = {"kl": "k1", "k1": "k1", "mse": "k2", "k2": "k2", "low_var_kl": "k3", "k3": "k3"}
    if name not in kinds and price:
        near = name.removesuffix("+") in kinds
        why = "the gradient of k2, and so k2" if near else "ours has k1, k2 and k3; this is k2"
        notes.append(Note("changed" if near else "lost", A + "kl_loss_type", name, why))
    return kinds.get(name, "k2")


def _controller(price: float, key: str, target, horizon: int, mean_length, notes: list):
    if target is not None and mean_length is None:
        why = "a target for each token; ours is for a reply: give mean_length=, its tokens. Until then beta is fixed"
        notes.append(Note("lost", key, target, why))
    if target is None or mean_length is None:
        return FixedKL(price)
    total = validate.number(key, target, 0) * validate.number("mean_length", mean_length, 1)
    notes.append(Note("changed", key, target, f"{total:g} nats for a reply of {mean_length:g} tokens"))
    return ZieglerKL(price, total, horizon)


def _score_clip(keys: dict, key: str, notes: list) -> float | None:
    least, most = either(keys[key], (-known.NO_LIMIT, known.NO_LIMIT))
    notes += [Note("changed", key, [least, most], f"from {-most:g}: ours has one limit")] * (least != -most)
    return None if most >= known.NO_LIMIT else most


def _falls(keys: dict, key: str, notes: list) -> bool:
    """Whether a schedule of transformers falls in the end."""
    if keys[key] not in ("linear", "constant_with_warmup", "constant"):
        notes.append(Note("changed", key, keys[key], "a line down to 0"))
    return not keys[key].startswith("constant")


def _config(made: dict, library: str):
    """RLHFConfig of these fields; ValueError that names their key beside ours if one of them cannot work."""
    try:
        validate.used(config := RLHFConfig(**made))
    except ValueError as error:
        field = str(error).split()[0].partition("=")[0]
        if "has no effect" in str(error) or "about a critic" in str(error):  # nor there: GAE's settings beside GRPO
            return _config({name: x for name, x in made.items() if name != field}, library)
        theirs = known.SAME[library].get(field)
        raise ValueError(f"{error} ({theirs})" if theirs else str(error)) from None
    return config
