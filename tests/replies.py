"""The course's enumeration of replies, for tests: small settings, and what `every_reply` has."""

from dataclasses import replace

from course.desk.every_reply import Replies, texts, walks  # noqa: F401
from ppo_lesson.language.settings import RLHFConfig

PLAIN = RLHFConfig(kl=None, max_new_tokens=3, batch=12, replies=2)


def setting(**changes):
    return replace(PLAIN, **changes)
