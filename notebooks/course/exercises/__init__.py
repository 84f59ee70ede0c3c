"""The exercises, one a file, named like it: solution, cases, properties, picture. `course.check` finds them by id.

catalogue.toml says which notebook has which, in which order. What learners read of them stands in `course/text`. Left
out: how an answer is graded (`course.check`), and what is drawn outside of an exercise (`course.pictures`).
"""
