"""Schedules: a value as a function of progress in [0, 1].

Progress is dimensionless: 0 at the first batch of training, 1 after the last one.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise

from lnas.errors import InputError


class Schedule(ABC):
    """A value over training: `schedule(progress)`."""

    def __call__(self, progress: float) -> float:
        """Return the value at `progress`, which is clamped to [0, 1]."""
        return self.value(min(max(progress, 0.0), 1.0))

    @abstractmethod
    def value(self, progress: float) -> float:
        """Return the value at a progress that lies in [0, 1]."""


class Constant(Schedule):
    """The same value all along.

    Args:
        constant: The value.
    """

    def __init__(self, constant: float) -> None:
        self.constant = constant

    def value(self, progress: float) -> float:
        """Return the constant."""
        return self.constant


class Linear(Schedule):
    """A straight line from `start` to `end`.

    Args:
        start: Value at progress 0.
        end: Value at progress 1.
    """

    def __init__(self, start: float, end: float) -> None:
        self.start, self.end = start, end

    def value(self, progress: float) -> float:
        """Return start + (end - start) * progress."""
        return self.start + (self.end - self.start) * progress


class Cosine(Schedule):
    """Half a cosine from `start` to `end` (Loshchilov and Hutter, 2017, without restarts).

    Args:
        start: Value at progress 0.
        end: Value at progress 1.
    """

    def __init__(self, start: float, end: float = 0.0) -> None:
        self.start, self.end = start, end

    def value(self, progress: float) -> float:
        """Return end + (start - end) * (1 + cos(pi * progress)) / 2."""
        return self.end + (self.start - self.end) * (1 + math.cos(math.pi * progress)) / 2


class Exponential(Schedule):
    """A geometric path from `start` to `end`.

    Args:
        start: Value at progress 0, positive.
        end: Value at progress 1, positive.

    Raises:
        InputError: A value is not positive.
    """

    def __init__(self, start: float, end: float) -> None:
        if start <= 0 or end <= 0:
            raise InputError(
                f"Exponential(start={start}, end={end}) needs positive values; Linear reaches 0."
            )
        self.start, self.end = start, end

    def value(self, progress: float) -> float:
        """Return start * (end / start) ** progress."""
        return float(self.start * (self.end / self.start) ** progress)


class Piecewise(Schedule):
    """Straight lines between given points; constant before the first and after the last.

    Args:
        points: Pairs (progress, value), progress in [0, 1] and increasing.

    Raises:
        InputError: There is no point, or progress does not increase, or leaves [0, 1].
    """

    def __init__(self, points: Sequence[tuple[float, float]]) -> None:
        places = [place for place, _ in points]
        increasing = all(a < b for a, b in pairwise(places))
        if not places or not increasing or places[0] < 0 or places[-1] > 1:
            raise InputError(
                f"Piecewise got points at progress {places}; give increasing numbers in [0, 1]."
            )
        self.points = [(float(place), float(value)) for place, value in points]

    def value(self, progress: float) -> float:
        """Interpolate between the neighbouring points."""
        (before, value) = self.points[0]
        for place, target in self.points:
            if progress <= place:
                if place == before:
                    return target
                share = (progress - before) / (place - before)
                return value + (target - value) * share
            before, value = place, target
        return value


class InTurn(Schedule):
    """One schedule after the other, each with a progress of its own from 0 to 1.

    Args:
        parts: The schedules.
        ends: Progress at which each but the last one ends, increasing within (0, 1).

    Raises:
        InputError: The ends do not increase, leave (0, 1), or are not one fewer than the parts.
    """

    def __init__(self, parts: Sequence[Schedule], ends: Sequence[float]) -> None:
        places = [0.0, *ends, 1.0]
        if len(ends) != len(parts) - 1 or not all(a < b for a, b in pairwise(places)):
            raise InputError(
                f"InTurn got {len(parts)} schedules and the ends {list(ends)}; give one end for "
                "each but the last, increasing numbers between 0 and 1."
            )
        self.parts, self.places = list(parts), places

    def value(self, progress: float) -> float:
        """Return the value of the part that progress lies in; at an end, of the later one."""
        for part, (start, end) in zip(self.parts, pairwise(self.places), strict=True):
            if progress < end:
                return part((progress - start) / (end - start))
        return self.parts[-1](1.0)


def check_rates(schedule: Schedule | None) -> None:
    """Refuse a schedule of learning rates that begins or ends below 0; None is none to refuse.

    Raises:
        InputError: Its first or its last value is negative.
    """
    if schedule is not None:
        for progress in (0.0, 1.0):
            rate_of(schedule, progress)


def rate_of(schedule: Schedule, progress: float) -> float:
    """Return the learning rate of a schedule at `progress`.

    Raises:
        InputError: It is negative.
    """
    rate = schedule(progress)
    if not rate >= 0:
        raise InputError(
            f"The schedule {type(schedule).__name__} has the learning rate {rate:g} at progress "
            f"{progress:g}; choose values from 0 on."
        )
    return rate
