"""Notebook 13: optimizer steps from the batch sizes of a verl configuration, and six of its settings in our words."""

from __future__ import annotations

import math

from ..check.spec import Exercise, Mistake, close


def optimizer_steps(keys):
    """Optimizer steps of one iteration, and forward passes of one step on one GPU."""
    prompts = keys["ppo_mini_batch_size"]
    steps = math.ceil(keys["train_batch_size"] / prompts) * keys["ppo_epochs"]
    return steps, prompts * keys["n"] // keys["gpus"] // keys["ppo_micro_batch_size_per_gpu"]


def translate(keys):
    """Six settings of RLHFConfig from a whole configuration of verl."""
    low, high = (keys["clip_ratio"] if keys[k] is None else keys[k] for k in ("clip_ratio_low", "clip_ratio_high"))
    return {
        "batch": keys["train_batch_size"] * keys["n"],
        "minibatches": math.ceil(keys["train_batch_size"] / keys["ppo_mini_batch_size"]),
        "eps": low,
        "eps_high": high,
        "beta": keys["kl_coef"] if keys["use_kl_in_reward"] else 0.0,
        "kl_loss": keys["kl_loss_coef"] if keys["use_kl_loss"] else 0.0,
    }


def _sizes(train, mini, micro, n=1, epochs=1, gpus=1):
    return {
        "train_batch_size": train,
        "ppo_mini_batch_size": mini,
        "ppo_micro_batch_size_per_gpu": micro,
        "n": n,
        "ppo_epochs": epochs,
        "gpus": gpus,
    }


def _steps_cases():
    return [
        (_sizes(4, 4, 1),),
        (_sizes(8, 4, 2),),
        (_sizes(8, 4, 1, epochs=3),),
        (_sizes(6, 2, 2, n=4),),
        (_sizes(12, 6, 1, n=2, epochs=2, gpus=3),),
        (_sizes(10, 4, 2, epochs=2),),  # the last step of an epoch is filled up
        (_sizes(1024, 256, 4, gpus=8),),  # verl's defaults on one machine
        (_sizes(512, 128, 16, n=5, epochs=2, gpus=4),),
    ]


def _one_step(fn):
    """One epoch of one mini-batch that holds everything is one step."""
    for n in (1, 8):
        case = (_sizes(64, 64, 8, n=n),)
        close(fn(*case), (1, 8 * n), case=case)


def _micro_is_free(fn):
    """A smaller micro-batch changes how often a step reads, never how many steps there are."""
    for micro in (1, 2, 8):
        case = (_sizes(32, 16, micro),)
        close(fn(*case), (2, 16 // micro), case=case)


def _passes(keys):
    return optimizer_steps(keys)[1]


def _mini_counts_replies(keys):
    replies, mini = keys["train_batch_size"] * keys["n"], keys["ppo_mini_batch_size"]
    passes = max(1, mini // keys["gpus"] // keys["ppo_micro_batch_size_per_gpu"])
    return math.ceil(replies / mini) * keys["ppo_epochs"], passes


def _epochs_are_steps(keys):
    return keys["ppo_epochs"], _passes(keys)


def _no_epochs(keys):
    return math.ceil(keys["train_batch_size"] / keys["ppo_mini_batch_size"]), _passes(keys)


def _rest_dropped(keys):
    return keys["train_batch_size"] // keys["ppo_mini_batch_size"] * keys["ppo_epochs"], _passes(keys)


def _each_micro_steps(keys):
    steps, passes = optimizer_steps(keys)
    return steps * passes, passes


def _each_gpu_its_own(keys):
    return optimizer_steps(keys)[0], keys["ppo_mini_batch_size"] * keys["n"] // keys["ppo_micro_batch_size_per_gpu"]


def _gpus_share_steps(keys):
    steps, passes = optimizer_steps(keys)
    return math.ceil(steps / keys["gpus"]), passes


def _passes_of_prompts(keys):
    passes = keys["ppo_mini_batch_size"] // keys["gpus"] // keys["ppo_micro_batch_size_per_gpu"]
    return optimizer_steps(keys)[0], passes


def _passes_of_all(keys):
    whole = keys["train_batch_size"] * keys["n"] // keys["gpus"] // keys["ppo_micro_batch_size_per_gpu"]
    return optimizer_steps(keys)[0], whole


STEPS = Exercise(
    id="13.optimizer_steps",
    title="Optimizer steps from verl's batch sizes",
    solution=optimizer_steps,
    cases=_steps_cases,
    properties=[_one_step, _micro_is_free],
    check_dtype=False,
    mistakes=[
        Mistake(
            _epochs_are_steps,
            "An epoch is not a step. With a mini-batch smaller than the batch one epoch takes several, and so "
            "ppo_epochs = 1 can still clip.",
            "volcengine/verl issue 791",
        ),
        Mistake(_mini_counts_replies, "ppo_mini_batch_size counts prompts, like train_batch_size: n multiplies both."),
        Mistake(_no_epochs, "Every epoch goes over the whole batch again: the steps come ppo_epochs times."),
        Mistake(_rest_dropped, "A rest of the batch makes a step too: verl fills it up. Round up, not down."),
        Mistake(
            _each_micro_steps,
            "Micro-batches only add their gradients up. One step follows when the whole mini-batch has been read.",
        ),
        Mistake(_each_gpu_its_own, "ppo_mini_batch_size is for all GPUs together: each reads its share of it."),
        Mistake(_gpus_share_steps, "All GPUs take every step together. They share its replies, not the steps."),
        Mistake(
            _passes_of_prompts, "A step reads replies, and every prompt has n of them: n is missing in the passes."
        ),
        Mistake(_passes_of_all, "You counted the passes over the whole batch. Of one step: its mini-batch."),
    ],
    hints=[
        "How many mini-batches does one epoch have, if a rest makes one too? And how many epochs are there?",
        "Steps: ceil(train_batch_size / ppo_mini_batch_size) · ppo_epochs. The passes share ppo_mini_batch_size · n.",
        "The second number is `ppo_mini_batch_size * n // gpus // ppo_micro_batch_size_per_gpu`.",
    ],
)


def _whole(**changes):
    """verl 0.9.1's defaults, with changes."""
    return {
        "train_batch_size": 1024,
        "n": 1,
        "ppo_mini_batch_size": 256,
        "clip_ratio": 0.2,
        "clip_ratio_low": 0.2,
        "clip_ratio_high": 0.2,
        "use_kl_in_reward": False,
        "kl_coef": 0.001,
        "use_kl_loss": False,
        "kl_loss_coef": 0.001,
    } | changes


def _translate_cases():
    changes = [
        {},
        {"n": 8, "train_batch_size": 512},
        {"train_batch_size": 100, "ppo_mini_batch_size": 30},
        {"clip_ratio": 0.3},
        {"clip_ratio": 0.3, "clip_ratio_low": None, "clip_ratio_high": 0.28},
        {"clip_ratio": 0.1, "clip_ratio_low": None, "clip_ratio_high": None},
        {"clip_ratio": 0.3, "clip_ratio_low": 0.1, "clip_ratio_high": None},
        {"clip_ratio": 0.3, "clip_ratio_low": 0.0, "clip_ratio_high": 0.2},  # 0 is a value, None is none
        {"use_kl_in_reward": True, "kl_coef": 0.05},
        {"use_kl_loss": True, "kl_loss_coef": 0.04},
        {"use_kl_in_reward": True, "use_kl_loss": True, "kl_coef": 0.02, "kl_loss_coef": 0.01},
        {"kl_coef": 0.05, "n": 4},  # as in verl's own example: nobody asks for it
    ]
    return [(_whole(**change),) for change in changes]


def _switched_off(fn):
    """A price that no switch asks for is 0, however high it is."""
    case = (_whole(kl_coef=5.0, kl_loss_coef=7.0),)
    found = fn(*case)
    close((found["beta"], found["kl_loss"]), (0.0, 0.0), case=case)


def _wrong(name, **how):
    """A wrong answer called `name`: the solution with some of its values computed in another way."""

    def fn(keys):
        return translate(keys) | {key: value(keys) for key, value in how.items()}

    fn.__name__ = name
    return fn


def _price(keys):
    return keys["kl_coef"]


def _loss_price(keys):
    return keys["kl_loss_coef"]


_prompts = _wrong("_prompts", batch=lambda k: k["train_batch_size"])
_size_of_a_step = _wrong("_size_of_a_step", minibatches=lambda k: k["ppo_mini_batch_size"])
_old_clip = _wrong("_old_clip", eps=lambda k: k["clip_ratio"], eps_high=lambda k: k["clip_ratio"])
_null_clip = _wrong("_null_clip", eps=lambda k: k["clip_ratio_low"], eps_high=lambda k: k["clip_ratio_high"])
_zero_is_none = _wrong(
    "_zero_is_none",
    eps=lambda k: k["clip_ratio_low"] or k["clip_ratio"],
    eps_high=lambda k: k["clip_ratio_high"] or k["clip_ratio"],
)
_high_from_low = _wrong(
    "_high_from_low", eps_high=lambda k: translate(k)["eps"] if k["clip_ratio_high"] is None else k["clip_ratio_high"]
)
_price_without_switch = _wrong("_price_without_switch", beta=_price)
_loss_without_switch = _wrong("_loss_without_switch", kl_loss=_loss_price)
_both_without_switch = _wrong("_both_without_switch", beta=_price, kl_loss=_loss_price)
_one_price = _wrong(
    "_one_price", beta=lambda k: k["kl_coef"] if k["use_kl_in_reward"] and not k["use_kl_loss"] else 0.0
)
_prices_swapped = _wrong(
    "_prices_swapped",
    beta=lambda k: k["kl_coef"] if k["use_kl_loss"] else 0.0,
    kl_loss=lambda k: k["kl_loss_coef"] if k["use_kl_in_reward"] else 0.0,
)

TRANSLATE = Exercise(
    id="13.translate",
    title="A verl configuration in our words",
    solution=translate,
    cases=_translate_cases,
    properties=[_switched_off],
    check_dtype=False,
    mistakes=[
        Mistake(
            _price_without_switch,
            "kl_coef costs nothing by itself: only use_kl_in_reward = True puts it into the reward.",
            "verl's examples/ppo_trainer/run_gemma.sh, which sets it without the switch",
        ),
        Mistake(_loss_without_switch, "kl_loss_coef costs nothing by itself: only use_kl_loss = True asks for it."),
        Mistake(
            _both_without_switch, "Both prices have a switch of their own, and both switches are False by default."
        ),
        Mistake(
            _prices_swapped, "The switches are swapped: use_kl_in_reward belongs to kl_coef, use_kl_loss to the other."
        ),
        Mistake(_one_price, "verl can charge both prices at once; neither switch turns the other off."),
        Mistake(_prompts, "train_batch_size counts prompts. Our batch counts replies: n to each prompt."),
        Mistake(_size_of_a_step, "Theirs is the size of one step, ours the number of steps in one pass."),
        Mistake(_old_clip, "clip_ratio_low and clip_ratio_high win over clip_ratio, unless they are None."),
        Mistake(_null_clip, "A clip_ratio_low or clip_ratio_high that is None stands for clip_ratio."),
        Mistake(
            _zero_is_none, "0.0 is a clip range, if a narrow one: Python's `or` takes it for None. Write `is None`."
        ),
        Mistake(_high_from_low, "A clip_ratio_high that is None stands for clip_ratio, whatever clip_ratio_low says."),
    ],
    hints=[
        "Three kinds of trap: prompts or replies, a size or a number, and a value that somebody else overrules.",
        "Each price: `price if switch else 0.0`. Each side of the clip: its own value, or clip_ratio if that is None.",
        "batch is `train_batch_size * n`; minibatches is `math.ceil(train_batch_size / ppo_mini_batch_size)`.",
    ],
)
