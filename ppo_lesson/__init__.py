"""Proximal Policy Optimization, hands on: from a maze of sixteen squares to a language model.

Nothing is imported here, so that `import ppo_lesson` costs nothing: take what you need from its module, for instance
`from ppo_lesson.maze import Maze`.
"""

__version__ = "0.1.0"
