"""The exercises, the predictions and the quizzes: data, which `course.check` finds by their ids.

nb03_critic.py: exercises of notebook 03. Beside the first file of each notebook, which `check/index.py` names and which
holds its predictions too, stand files for long exercises and for quizzes. Left out: how an answer is graded
(`course.check`), how it is shown, and what is drawn outside of an exercise (`course.pictures`).
"""
