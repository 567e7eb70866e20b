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

    @property
    def scale(self) -> float:
        """What people read is the value times this."""
        return 100.0 if self.percent else 1.0

    @property
    def unit(self) -> str:
        """What stands behind a number, with a space before it; nothing for numbers as such."""
        return " %" if self.percent else ""

    @property
    def points(self) -> str:
        """What differences are counted in."""
        return "points" if self.percent else self.name

    def is_better(self, value: float, other: float) -> bool:
        """Whether a value is better than another."""
        return value > other if self.mode == "max" else value < other

    def text(self, value: float) -> str:
        """Return a value as a person reads it."""
        return f"{value:.2%}" if self.percent else f"{value:.2f}"


ACCURACY = Measure("accuracy", "max", percent=True)
PERPLEXITY = Measure("perplexity", "min")
