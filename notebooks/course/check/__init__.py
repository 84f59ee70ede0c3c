"""Exercises that never block: predict, try, check, and read a hint for the very mistake you made.

Here are `spec` (what an author writes), `texts` (what learners read of it), `index` (ids to exercises), `answer` and
`stub` (the exercise's cell), `grading`, `sandbox`, `ahead`, `compare`, `slips` and `diagnosis` (right, or wrong and
how), `prediction`, `quizzes`, `challenge`, `progress`, `records` (the one local file), `message` (how it is displayed).
Tests and tools use `grade`, `catalog` and `solution`. Left out: accounts, marks, a network, and anything that could
stop a notebook.

In a notebook an exercise is one cell, and the markdown cell below it folds its solution away:

    @exercise("score_function")
    def score_function(logits, action):
        \"\"\"Gradient of log pi(action) with respect to the logits: (A,), int -> (A,).\"\"\"
        ...                                           # your code, about 2 lines
    check(score_function)                             # last line of the same cell

    print(solution_markdown("score_function"))     # gives that markdown; a test compares the two

The body of a stub is a docstring, then `...`, `pass` or `raise NotImplementedError`, and nothing else: any other
statement counts as an attempt. `predict("backward", ["yes", "no"], "Does reward.backward() move the policy?")` stands
before the cell that shows the answer, `reveal("backward")` after it, `quiz("score")` near the end. If all cells were
run before the question was answered, the answer waits for it. All of these display something and return None; none of
them stops a notebook.

CONTRIBUTING.md says how to write an exercise.
"""

from .answer import check, exercise, hint, show_solution, solution_markdown
from .challenge import challenge
from .diagnosis import Grade
from .grading import grade
from .index import catalog, solution
from .prediction import predict, reveal
from .progress import progress, reset
from .quizzes import quiz
from .rows import examples, rows
from .spec import Choice, Exercise, Mistake, Prediction, Question, Wrong, close, mean_within, require
