"""Tasks: what is observed, what is done, what counts as success."""

from robostack.tasks.task import TASKS, Episode, Outcome, Start, Task, Term

__all__ = ["TASKS", "Episode", "Outcome", "Start", "Task", "Term"]
