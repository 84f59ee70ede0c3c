"""Notebook 08: four exercises (from nb08_losses, nb08_batches and nb08_update), predictions and the quiz."""

from __future__ import annotations

from ..check.spec import Choice, Prediction, Question
from .nb08_batches import BATCHES
from .nb08_losses import ENTROPY, VALUE
from .nb08_update import UPDATE

TITLE = "The whole algorithm"
EXERCISES = [VALUE, ENTROPY, BATCHES, UPDATE]

PREDICTIONS = {
    "08.q1": Prediction(
        answer="0",
        why="Before the first step every ratio is 1, so the surrogate is the mean of the whitened advantages, and that "
        "is 0 by construction. Its slope is not 0: the loss says nothing about whether the policy learns.",
    ),
    "08.q2": Prediction(
        answer="about as fast as before",
        why="Adam divides each gradient by its own usual size. Policy and critic share no parameter, so a factor in "
        "front of the critic's loss cancels. What is left of c₁ is its part in the common gradient norm.",
    ),
    "08.q3": Prediction(
        answer="10",
        why="Nothing in the world ends after five steps; somebody stops the clock. The future is worth 1 + 0.9 + 0.81 "
        "+ ... = 1 / (1 - 0.9) = 10, whatever the limit.",
    ),
    "08.q4": Prediction(
        answer="6",
        why="The seeds of one setting spread by about 85. Even sixteen of them leave an uncertainty of about 60 in "
        "each row, and most details are worth less than that on this task.",
    ),
}

QUIZ = [
    Question(
        "A log shows policy_loss 0.000 in the first mini-batch of every update, then -0.02, -0.03. What is wrong?",
        [
            Choice(
                "Nothing",
                True,
                "All ratios are 1 there and whitened advantages have mean 0. A zero loss with a slope is a start.",
            ),
            Choice("The policy does not learn", False, "Its gradient at ratio 1 is that of the policy gradient."),
            Choice(
                "The advantages are all 0", False, "Then their whitened spread, which is 1 here, would be missing too."
            ),
        ],
    ),
    Question(
        "The returns of a task reach 100. The value clip is 0.2. What happens to the critic?",
        [
            Choice(
                "It is more stable, and learns at the same speed",
                False,
                "A value that has moved by 0.2 since the rollout gets no gradient until the next one.",
            ),
            Choice(
                "It crawls: a value that has moved by 0.2 since the rollout is left alone",
                True,
                "At 0.2 a rollout, 500 rollouts to climb to 100; momentum and neighbouring states make it a few times "
                "faster. Scale the rewards, widen the clip, or leave it out.",
            ),
            Choice("Nothing: the loss takes the larger of two errors", False, "The larger one is the flat one here."),
        ],
    ),
    Question(
        "An episode is cut by a time limit at step 500. What is the critic's target for its last step, with λ = 0?",
        [
            Choice("r", False, "That is the target of a step after which nothing comes: a termination."),
            Choice(
                "r + γ V(the first observation of the next episode)",
                False,
                "That state follows a reset, not this action. The automatic reset puts it where s' is expected.",
            ),
            Choice(
                "r + γ V(the last observation before the reset)",
                True,
                "The task would have gone on from there. Only the clock has stopped.",
            ),
        ],
    ),
    Question(
        "One setting gives a mean of 270 over three seeds, another 210. Seeds usually spread by 85 around their mean. "
        "What do you know?",
        [
            Choice("The first is better", False, "The means of three such seeds differ by 69 from luck alone, often."),
            Choice(
                "Hardly anything: the difference has a standard error of about 69",
                True,
                "85 · √(1/3 + 1/3) = 69. Sixteen seeds each bring it down to 30.",
            ),
            Choice(
                "They are equally good",
                False,
                "Not knowing a difference is something else than knowing that there is none.",
            ),
        ],
    ),
    Question(
        "A Gaussian policy has mean 1.7 and standard deviation 1; the torque is limited to [-2, 2]. It draws 2.6. What "
        "is stored for the update?",
        [
            Choice("2, the action that was carried out", False, "A bell curve gives 2 another probability than 2.6."),
            Choice(
                "2.6, the action that was drawn",
                True,
                "log π of the update must be that of the number the policy drew. The environment sees 2.",
            ),
            Choice("Nothing: the step is left out", False, "Then no action near the limit would ever be learned."),
        ],
    ),
]
