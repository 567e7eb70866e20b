"""The errors that lnas turns into one line instead of a traceback."""


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
