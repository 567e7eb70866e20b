"""Ctrl-C and SIGTERM of a study: noted, and acted upon between two looks at its runs."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Received:
    """The signals that have come.

    Attributes:
        numbers: In their order.
    """

    def __init__(self) -> None:
        self.numbers: list[int] = []

    def note(self, number: int, frame: FrameType | None) -> None:
        """Be the handler."""
        self.numbers.append(number)


@contextmanager
def noted_signals() -> Iterator[Received]:
    """Note signals while the block runs; outside the main thread there are none to note."""
    received = Received()
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = {number: signal.signal(number, received.note) for number in SIGNALS}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
