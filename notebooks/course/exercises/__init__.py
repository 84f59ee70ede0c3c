"""The exercises, one data module a notebook; `course.check` finds them by their ids."""
