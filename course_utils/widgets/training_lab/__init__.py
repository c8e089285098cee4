"""The training lab: choose settings, train, and compare the runs, while the page stays alive."""

from course_utils.widgets.training_lab.lab import TrainingLab

__all__ = ["TrainingLab"]
