"""The bug clinic of notebook 10: trainers that are sick in one line.

`ward`: the patients, each an edit of the real trainer, and the `with` that makes it sick. `record`: what one update saw
and did, written down from outside. Left out: a second trainer, and bugs that raise an error (those name themselves).
"""
