"""The lesson: what only this course needs. The module never imports it."""
