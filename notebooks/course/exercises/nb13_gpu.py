"""Notebook 13: four exercises (from nb13_batches, nb13_memory and nb13_groups), predictions, quiz."""

from __future__ import annotations

from ..check.spec import Choice, Prediction, Question
from .nb13_batches import STEPS, TRANSLATE
from .nb13_groups import GROUPS
from .nb13_memory import MEMORY

TITLE = "RLHF on a GPU, and the way to production"
EXERCISES = [MEMORY, STEPS, GROUPS, TRANSLATE]

PREDICTIONS = {
    "13.q1": Prediction(
        answer="4",
        why="All four hold 4 bytes a weight; actor and critic 12 more, for gradients and Adam. Times 7.6 billion that "
        "is more than three GPUs hold. With a copy in half precision that samples, and what one micro-batch leaves "
        "behind: by the planner 307 GiB. Notebook 12's sum, with weights in half precision, is 255 GiB: four GPUs too.",
    ),
    "13.q2": Prediction(
        answer="none",
        why="There is one optimizer step, and its gradient is taken where the ratio is 1. The policy moves after that, "
        "and then the replies are thrown away. Nothing is left that a clip could hold.",
    ),
    "13.q3": Prediction(
        answer="hardly any",
        why="No rule forbids sympathy. But words are scarce now: what no rule pays for makes room for what one does. A "
        "verifiable reward is exact about what it checks, and says nothing about the rest.",
    ),
}

QUIZ = [
    Question(
        "A verl run has train_batch_size 512, n = 8, ppo_mini_batch_size 512, ppo_epochs 1. Somebody lowers clip_ratio "
        "from 0.2 to 0.1. What changes?",
        [
            Choice("Half as many tokens move", False, "Clipping needs a ratio that has left 1. Here it never has."),
            Choice(
                "Nothing",
                True,
                "One epoch of one mini-batch: one step, at ratio 1. Mini-batches count prompts: n = 8 makes no more.",
            ),
            Choice(
                "Updates become smaller", False, "Their size is the learning rate's, as long as no ratio is clipped."
            ),
            Choice("It depends on the micro-batch", False, "Micro-batches only add up to the one step's gradient."),
        ],
    ),
    Question(
        "Where does LoRA save most, for actor, critic and reference of one size?",
        [
            Choice("In the activations of a micro-batch", False, "They stay about as large: the whole base computes."),
            Choice(
                "In the keys and values of the replies", False, "The cache depends on the base, which has not shrunk."
            ),
            Choice(
                "In gradients, moments and two of three copies",
                True,
                "What learns is hundreds of times smaller, and one frozen base serves all three.",
            ),
        ],
    ),
    Question(
        "What does GRPO give up together with the critic?",
        [
            Choice(
                "A judgement inside the reply: all its tokens get one advantage",
                True,
                "The group knows how good the whole reply was, and not which token did it. A critic can try to say; "
                "whether it is right, measure.",
            ),
            Choice(
                "The clip, since there is no value function left to be clipped",
                False,
                "That is another clip. `clipped_surrogate` stays.",
            ),
            Choice("The distance to the reference", False, "Its price stays too; the paper puts it into the loss."),
        ],
    ),
    Question(
        "An engine samples in bfloat16, the trainer learns in float32, and the engine's log-probabilities serve as the "
        "old ones. Which line of the dashboard says so first?",
        [
            Choice(
                "The score falls, slowly at first, then all at once",
                False,
                "A run with this fault may still learn for a long time.",
            ),
            Choice("Explained variance falls", False, "That line is about the critic, which does not see the ratio."),
            Choice(
                "|ratio − 1| before the first step is not 0",
                True,
                "Two computations of one probability differ. Before any step nothing else can move that line.",
            ),
        ],
    ),
    Question(
        "A rule-based reward has reached its maximum on every reply. What do you know?",
        [
            Choice("The policy is good", False, "At what was checked. The rest may be anything."),
            Choice(
                "What the rule checks holds",
                True,
                "And nothing more: read some replies, and measure something that the rule does not see.",
            ),
            Choice(
                "The reward was hacked", False, "Perhaps. An honest rule that covers everything ends there as well."
            ),
        ],
    ),
]
