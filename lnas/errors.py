"""The errors that lnas turns into one line instead of a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

NO_SECOND_DERIVATIVE = (
    "the fast path has no second derivatives; use the reference path (supernet.path = 'reference')"
)


class InputError(ValueError):
    """What the user gave cannot be used: a wrong option, file, folder or combination (exit code 2).

    The message is one line: the wrong value, what is allowed, the remedy.
    """


class NonFiniteError(RuntimeError):
    """A loss became infinite or not a number; training cannot go on (exit code 3).

    The message names the epoch and the batch; the last good checkpoint is kept.
    """


class Interrupted(RuntimeError):
    """A signal asked the run to end; its checkpoint is written.

    Args:
        message: What was interrupted and how to go on.
        signal_number: The signal, so that the process can leave with the code 128 + signal.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number


@contextmanager
def refused_values(what: str) -> Iterator[None]:
    """Turn the ValueError of a foreign constructor within the block into an input error.

    Args:
        what: The argument that the constructor belongs to, e.g. "weight_optimizer".

    Raises:
        InputError: The constructor has refused a value.
    """
    try:
        yield
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{what} cannot be built: {error}; give it other values.") from error
