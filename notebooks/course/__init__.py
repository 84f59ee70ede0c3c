"""The lesson: what only this course needs. The module, `ppo_lesson`, never imports it.

`check`: the framework of exercises, predictions and quizzes. `exercises`: those of every notebook. `pictures`: figures,
panels, replays. `clinic`: sick trainers. `desk`: the help desk. `python -m course doctor | progress | sweep` runs in
the folder notebooks. Left out: every algorithm; those are what the module is for.
"""
