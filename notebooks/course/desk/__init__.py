"""The help desk of notebooks 11 to 16: an invented world, so small that we know what a reply is worth.

`world` and `vocabulary` write prompts and replies in two languages, `gold` says what a reply is worth, `make` trains
the three small models in data/, `measure` judges a model, `sweep` repeats the trainings that notebooks 14 and 15 show.
All of it needs a checkout. Left out: the trainers and the models, which are the module's (`ppo_lesson.language`).
"""
