"""Exercises that never block: predict, try, check, and read a hint for the very mistake you made.

Here are `spec` (what an author writes), `texts` (what learners read of it), `index` (ids to exercises), `answer` and
`stub` (the exercise's cell), `grading`, `sandbox`, `ahead`, `compare`, `slips` and `diagnosis` (right, or wrong and
how), `prediction`, `quizzes`, `progress`, `records` (the one local file), `message` (how it is displayed). Tests and
tools use `grade`, `catalog` and `solution`. Left out: accounts, marks, a network, and anything that could stop a
notebook.

In a notebook an exercise is one cell, and the markdown cell below it folds its solution away:

    @exercise("02.score_function")
    def score_function(logits, action):
        \"\"\"Gradient of log pi(action) with respect to the logits: (A,), int -> (A,).\"\"\"
        ...                                           # your code, about 2 lines
    check(score_function)                             # last line of the same cell

    print(solution_markdown("02.score_function"))     # gives that markdown; a test compares the two

The body of a stub is a docstring, then `...`, `pass` or `raise NotImplementedError`, and nothing else: any other
statement counts as an attempt. `predict("02.q1", ["yes", "no"], "Does reward.backward() move the policy?")` stands
before the cell that shows the answer, `reveal("02.q1")` after it, `quiz("02")` near the end. If all cells were run
before the question was answered, the answer waits for it. All of these display something and return None; none of them
stops a notebook.

How to write an exercise: a file exercises/score_function.py, its text text/en/score_function.toml, and its name in
exercises/catalogue.toml, under its notebook. The file has at most 120 lines and ends with

    EXERCISE = Exercise(solution=score_function, cases=cases, properties=[scores_sum_to_zero])          # see spec.py

and the text is

    title = "The gradient of log π"
    hints = ["a nudge", "more", "nearly the line itself"]

    [mistakes.no_minus]
    edits = [["onehot - probs", "onehot"]]
    hint = "..."
    source = "owner/name issue 1"

* `solution` is read by learners: short, clear, self-contained.
* `cases()` returns tuples of positional arguments, smallest first, the same at every call: seed generators and make new
  ones each time. Between them the cases reach every branch and tell every mistake from the solution. Use several sizes.
* A property is a function of the learner's function. Its docstring's first line is the sentence the learner reads:

      def scores_sum_to_zero(fn):
          \"\"\"The score of a softmax sums to zero over the actions.\"\"\"
          close(fn(torch.zeros(4), 1).sum(), 0.0, case=(torch.zeros(4), 1))

  `require(condition)`, `close(actual, expected)` and, for the list `statistics`, `mean_within(samples, truth)` raise
  `Wrong`. A property that knows which mistake it has found names it: `require(..., mistake="reversed")`.
* `gradient=True` also compares autograd's gradients for every floating-point argument; a tuple of names, for those.
* `many_answers=True` where more than one answer is right: then the properties alone decide.
* `mistakes`: at least four wrong answers that people really write, each with its own hint, at least one with the
  thread it was seen in. Each is the solution with texts replaced in order, [right, wrong]; a right text stands there
  once, docstring included. They are recognised by behaviour: whose function gives what the mistake gives, on every
  case, reads that hint; and of two slips of a few characters at once both, unless one of them says `alone = true`, as
  its hint would be false beside another. They must end, and must not print.
* A wrong hint is worse than none. Answers of few bits (yes or no, an argument that comes back) need many cases: what
  nobody can tell apart gets one hint that says "if". `tests/lesson/natural_answers/` holds what people really write.
* A case stays within what the stub promises; tests/lesson/promises.toml says that in a form that is checked.
* Sign, factor 2, mean for sum, transposed, shifted, swapped, None, dtype, shape, NaN, lost gradient, changed arguments,
  exceptions and endless loops are named without your help. Write mistakes for what is particular to the exercise.
* `hints`: three, from a nudge to nearly the line itself; they open with attempts. `picture=` (optional) takes the
  learner's function and returns (figure, alt text); it is left out where the function cannot be drawn.
* A quiz and the predictions of notebook 02 stand in text/en/nb02.toml. Texts are plain: `code` in backticks, Greek
  letters as such, no LaTeX, no HTML.
* One grade gets 1 second of processor time, statistics included. Stay under a quarter of it.

Then `python -m pytest tests/lesson/test_exercises.py -k score_function` checks it. `grade(id, fn)` gives
Grade(status, message) with status "todo" | "wrong" | "ok".
"""

from .answer import check, exercise, hint, show_solution, solution_markdown
from .diagnosis import Grade
from .grading import grade
from .index import catalog, solution
from .prediction import predict, reveal
from .progress import progress, reset
from .quizzes import quiz
from .spec import Choice, Exercise, Mistake, Prediction, Question, Wrong, close, mean_within, require
