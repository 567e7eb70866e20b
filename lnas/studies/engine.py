"""Where the runs of a study are processes: on this machine, or wherever an engine puts them."""

import multiprocessing
import os
import signal
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import connection
from typing import Any, final

from lnas.studies.process import Job, run_process

# What every run imports; the optimizers import the last one at their first step.
PRELOADED = ["lnas.studies.process", "lnas.callbacks", "lnas.data", "wandb", "torch._dynamo"]


class Handle(ABC):
    """A run that is under way or has ended."""

    @property
    @abstractmethod
    def progress(self) -> float:
        """How far it is, in [0, 1]."""

    @property
    @abstractmethod
    def exit_code(self) -> int | None:
        """Its exit code, negative for the signal that ended it; None while it goes on."""

    @property
    def is_lost(self) -> bool:
        """Whether it ended with its worker or machine, through no fault of its own."""
        return False

    @abstractmethod
    def stop(self) -> None:
        """Ask it to write a checkpoint and end; call it once."""

    @abstractmethod
    def kill(self) -> None:
        """End it at once."""


class Engine(ABC):
    """Starts runs, each in a process of its own."""

    @abstractmethod
    def start(self, job: Job) -> Handle:
        """Start a run."""

    @abstractmethod
    def wait(self, handles: Sequence[Any], seconds: float) -> None:
        """Return when a run has ended, or after so many seconds."""


@final
class LocalHandle(Handle):
    """A process on this machine.

    Args:
        process: The process, started.
        told: Shared memory that it writes its progress into.
    """

    def __init__(self, process: Any, told: Any) -> None:
        self.process, self._told = process, told

    @property
    def progress(self) -> float:
        """How far it is, in [0, 1]."""
        return float(self._told.value)

    @property
    def exit_code(self) -> int | None:
        """Its exit code, negative for the signal that ended it; None while it goes on."""
        code: int | None = self.process.exitcode
        return code

    def stop(self) -> None:
        """Send SIGTERM."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self._send(signal.SIGKILL)

    def _send(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.process.pid, number)


@final
class LocalEngine(Engine):
    """Processes of this machine.

    Args:
        method: How Python starts them. "forkserver" forks them from a server that has imported
            everything, and that nothing else has happened in.
    """

    def __init__(self, method: str = "forkserver") -> None:
        self._context: Any = multiprocessing.get_context(method)
        if method == "forkserver":
            self._context.set_forkserver_preload(PRELOADED)

    def start(self, job: Job) -> LocalHandle:
        """Start a process."""
        told = self._context.RawValue("d", 0.0)
        process = self._context.Process(target=run_process, args=(job, told))
        process.start()
        return LocalHandle(process, told)

    def wait(self, handles: Sequence[LocalHandle], seconds: float) -> None:
        """Return when a process has ended, or after so many seconds."""
        connection.wait([handle.process.sentinel for handle in handles], timeout=seconds)
