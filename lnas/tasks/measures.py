"""Measures: the one number that a task's networks are compared by."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Measure:
    """A number that is logged for each stream, e.g. as `eval/test_accuracy`.

    Args:
        name: Its name in logs, without stream.
        mode: Whether the largest or the smallest value is best.
        percent: It is a share in [0, 1] that people read in percent.
    """

    name: str
    mode: Literal["max", "min"]
    percent: bool = False

    def text(self, value: float) -> str:
        """Return a value as a person reads it."""
        return f"{value:.2%}" if self.percent else f"{value:.2f}"


ACCURACY = Measure("accuracy", "max", percent=True)
PERPLEXITY = Measure("perplexity", "min")
