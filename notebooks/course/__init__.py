"""The lesson: what only this course needs. The module, `ppo_lesson`, never imports it.

`check`: the framework of exercises, predictions and quizzes. `exercises`: one a file; `text`: what learners read of
them. `edited`: wrong answers and sick trainers, from the text of right ones. `pictures`: figures, panels, replays.
`clinic`: sick trainers. `desk`: the help desk. `python -m course doctor | progress | sweep` runs in the folder
notebooks. Left out: every algorithm; those are what the module is for.
"""
