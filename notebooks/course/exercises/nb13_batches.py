"""Notebook 13: optimizer steps from the batch sizes of a verl configuration, and six of its settings in our words."""

from __future__ import annotations

import math

from ..check.spec import Exercise, Mistake, close
from ..edited import edited


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
        (_sizes(10, 4, 2, epochs=3),),  # the last step of an epoch is filled up
        (_sizes(1024, 256, 4, gpus=8),),  # verl's defaults on one machine
        (_sizes(512, 128, 16, n=5, epochs=2, gpus=4),),
    ]


def _one_step(fn):
    """One epoch of one mini-batch that holds everything is one step."""
    for n in (1, 8):
        case = (_sizes(64, 64, 8, n=n),)
        close(fn(*case)[0], 1, case=case)


def _micro_is_free(fn):
    """A smaller micro-batch changes how often a step reads, never how many steps there are."""
    first = fn(_sizes(32, 16, 1))[0]
    for micro in (2, 8):
        case = (_sizes(32, 16, micro),)
        close(fn(*case)[0], first, case=case)


def _nothing_read_twice(fn):
    """Passes times their replies times GPUs are the replies of one step."""
    for gpus, n in ((1, 1), (4, 1), (2, 3)):
        case = (_sizes(64, 16, 2, n=n, gpus=gpus),)
        close(fn(*case)[1] * 2 * gpus, 16 * n, case=case)


UP, BATCH, GPUS = 'math.ceil(keys["train_batch_size"] / prompts)', 'keys["train_batch_size"]', ' // keys["gpus"]'
EPOCHS, REPLIES = ' * keys["ppo_epochs"]', 'prompts * keys["n"]'
PASSES = 'prompts * keys["n"] // keys["gpus"] // keys["ppo_micro_batch_size_per_gpu"]'


STEPS = Exercise(
    id="13.optimizer_steps",
    title="Optimizer steps from verl's batch sizes",
    solution=optimizer_steps,
    cases=_steps_cases,
    properties=[_one_step, _micro_is_free, _nothing_read_twice],
    check_dtype=False,
    mistakes=[
        Mistake(
            edited(optimizer_steps, {f"{UP} * ": ""}, "_epochs_are_steps"),
            "An epoch is not a step. With a mini-batch smaller than the batch one epoch takes several, and so "
            "ppo_epochs = 1 can still clip.",
            "volcengine/verl issue 791",
        ),
        Mistake(
            edited(optimizer_steps, {BATCH: f'{BATCH} * keys["n"]'}, "_mini_counts_replies"),
            "ppo_mini_batch_size counts prompts, like train_batch_size: n multiplies both.",
        ),
        Mistake(
            edited(optimizer_steps, {EPOCHS: ""}, "_no_epochs"),
            "Every epoch goes over the whole batch again: the steps come ppo_epochs times.",
        ),
        Mistake(
            edited(optimizer_steps, {UP: f"{BATCH} // prompts"}, "_rest_dropped"),
            "A rest of the batch makes a step too: verl fills it up. Round up, not down.",
        ),
        Mistake(
            edited(optimizer_steps, {UP: f"{BATCH} / prompts"}, "_no_whole_number"),
            "Steps are whole: a rest of the batch makes one more. `math.ceil` rounds up.",
        ),
        Mistake(
            edited(optimizer_steps, {f"{UP}{EPOCHS}": f"math.ceil({BATCH} / prompts{EPOCHS})"}, "_rounded_too_late"),
            "Every epoch has its own rest, and fills it up: round up first, then take it ppo_epochs times.",
        ),
        Mistake(
            edited(optimizer_steps, {"return steps": f"return steps * {PASSES}"}, "_each_micro_steps"),
            "Micro-batches only add their gradients up. One step follows when the whole mini-batch has been read.",
        ),
        Mistake(
            edited(optimizer_steps, {GPUS: ""}, "_each_gpu_its_own"),
            "ppo_mini_batch_size is for all GPUs together: each reads its share of it.",
        ),
        Mistake(
            edited(optimizer_steps, {"return steps": 'return math.ceil(steps / keys["gpus"])'}, "_gpus_share_steps"),
            "All GPUs take every step together. They share its replies, not the steps.",
        ),
        Mistake(
            edited(optimizer_steps, {REPLIES: "prompts"}, "_passes_of_prompts"),
            "A step reads replies, and every prompt has n of them: n is missing in the passes.",
        ),
        Mistake(
            edited(optimizer_steps, {"return steps, prompts": f"return steps, {BATCH}"}, "_passes_of_all"),
            "You counted the passes over the whole batch. Of one step: its mini-batch.",
        ),
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


SIDE = 'keys["clip_ratio"] if keys[k] is None else keys[k]'
SIZES = 'math.ceil(keys["train_batch_size"] / keys["ppo_mini_batch_size"])'
SWITCH, LOSS_SWITCH = 'keys["use_kl_in_reward"]', 'keys["use_kl_loss"]'
IF, IF_LOSS = f" if {SWITCH} else 0.0", f" if {LOSS_SWITCH} else 0.0"

TRANSLATE = Exercise(
    id="13.translate",
    title="A verl configuration in our words",
    solution=translate,
    cases=_translate_cases,
    properties=[_switched_off],
    check_dtype=False,
    mistakes=[
        Mistake(
            edited(translate, {IF: ""}, "_price_without_switch"),
            "kl_coef costs nothing by itself: only use_kl_in_reward = True puts it into the reward.",
            "verl's examples/ppo_trainer/run_gemma.sh, which sets it without the switch",
        ),
        Mistake(
            edited(translate, {IF_LOSS: ""}, "_loss_without_switch"),
            "kl_loss_coef costs nothing by itself: only use_kl_loss = True asks for it.",
        ),
        Mistake(
            edited(translate, {IF: "", IF_LOSS: ""}, "_both_without_switch"),
            "Both prices have a switch of their own, and both switches are False by default.",
        ),
        Mistake(
            edited(
                translate, {f'"]{IF}': f'"]{IF_LOSS}', f'loss_coef"]{IF_LOSS}': f'loss_coef"]{IF}'}, "_prices_swapped"
            ),
            "The switches are swapped: use_kl_in_reward belongs to kl_coef, use_kl_loss to the other.",
        ),
        Mistake(
            edited(translate, {SWITCH: f"{SWITCH} and not {LOSS_SWITCH}"}, "_one_price"),
            "verl can charge both prices at once; neither switch turns the other off.",
        ),
        Mistake(
            edited(translate, {' * keys["n"]': ""}, "_prompts"),
            "train_batch_size counts prompts. Our batch counts replies: n to each prompt.",
        ),
        Mistake(
            edited(translate, {SIZES: SIZES.replace(" /", ' * keys["n"] /')}, "_n_in_minibatches"),
            "ppo_mini_batch_size counts prompts, like train_batch_size: n multiplies both, and leaves the number "
            "of steps as it is.",
        ),
        Mistake(
            edited(translate, {SIZES: SIZES[10:-1].replace("/", "//")}, "_rounded_down"),
            "A rest of the batch makes a step too: `math.ceil` rounds up.",
        ),
        Mistake(edited(translate, {SIZES: SIZES[10:-1]}, "_not_rounded"), "Steps are whole. `math.ceil` rounds up."),
        Mistake(
            edited(translate, {SIZES: 'keys["ppo_mini_batch_size"]'}, "_size_of_a_step"),
            "Theirs is the size of one step, ours the number of steps in one pass.",
        ),
        Mistake(
            edited(translate, {SIDE: 'keys["clip_ratio"]'}, "_old_clip"),
            "clip_ratio_low and clip_ratio_high win over clip_ratio, unless they are None.",
        ),
        Mistake(
            edited(translate, {SIDE: "keys[k]"}, "_null_clip"),
            "A clip_ratio_low or clip_ratio_high that is None stands for clip_ratio.",
        ),
        Mistake(
            edited(translate, {SIDE: 'keys[k] or keys["clip_ratio"]'}, "_zero_is_none"),
            "0.0 is a clip range, if a narrow one: Python's `or` takes it for None. Write `is None`.",
        ),
        Mistake(
            edited(
                translate,
                {'"eps_high": high': '"eps_high": low if keys["clip_ratio_high"] is None else high'},
                "_high_from_low",
            ),
            "A clip_ratio_high that is None stands for clip_ratio, whatever clip_ratio_low says.",
        ),
    ],
    hints=[
        "Three kinds of trap: prompts or replies, a size or a number, and a value that somebody else overrules.",
        "Each price: `price if switch else 0.0`. Each side of the clip: its own value, or clip_ratio if that is None.",
        "batch is `train_batch_size * n`; minibatches is `math.ceil(train_batch_size / ppo_mini_batch_size)`.",
    ],
)
