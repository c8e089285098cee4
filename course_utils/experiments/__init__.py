"""The measurements behind the questions of the course: pure functions that return plain records."""
