"""The runs of a study on a Ray cluster: `lnas study --engine ray --address HOST:PORT`.

Every machine must see the study's folder, and the data, under the same paths. On each of them a
task of Ray starts the very process that a study on one machine starts, and waits for it; when the
task's worker is killed the process ends with it. A run that is lost with its worker or machine is
started again and goes on from its checkpoint.
"""

import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any, final

from lnas.errors import InputError
from lnas.studies.engine import Engine, Handle, LocalEngine
from lnas.studies.process import Job

PERIOD = 0.5  # seconds


class Board:
    """An actor that knows how far each run is."""

    def __init__(self) -> None:
        self._told: dict[str, float] = {}

    def tell(self, name: str, progress: float) -> None:
        """Note the progress of a run."""
        self._told[name] = progress

    def all(self) -> dict[str, float]:
        """Return what was told."""
        return dict(self._told)


def attend(job: Job, folder: str, board: Any) -> int:
    """Be the task: start the process of a job, wait for it, return its exit code.

    A cancelled task gets a KeyboardInterrupt; the process then writes its checkpoint and ends.

    Args:
        job: What to do.
        folder: The study's working directory.
        board: The actor that is told how far the run is.
    """
    os.chdir(folder)
    engine = LocalEngine()
    handle = engine.start(job)
    try:
        while handle.exit_code is None:
            engine.wait([handle], PERIOD)
            board.tell.remote(str(job.log), handle.progress)
    except KeyboardInterrupt:
        handle.stop()
        while handle.exit_code is None:
            engine.wait([handle], PERIOD)
    return handle.exit_code


@final
class RayHandle(Handle):
    """A task of Ray.

    Args:
        ray: The module.
        reference: The task's result.
        name: Its name on the board.
    """

    def __init__(self, ray: Any, reference: Any, name: str) -> None:
        self._ray, self.reference, self.name = ray, reference, name
        self._code: int | None = None
        self._lost = False
        self.told = 0.0

    @property
    def progress(self) -> float:
        """How far it is, in [0, 1]."""
        return self.told

    @property
    def exit_code(self) -> int | None:
        """Its exit code; None while it goes on."""
        if self._code is None and self._ray.wait([self.reference], timeout=0)[0]:
            errors = self._ray.exceptions
            try:
                self._code = self._ray.get(self.reference)
            except errors.TaskCancelledError:
                self._code = 130
            except errors.RayError:
                self._code, self._lost = 1, True
        return self._code

    @property
    def is_lost(self) -> bool:
        """Whether it ended with its worker or machine, through no fault of its own."""
        return self._lost

    def stop(self) -> None:
        """Cancel the task, which ends its process behind a checkpoint."""
        self._ray.cancel(self.reference, force=False)

    def kill(self) -> None:
        """End the task's worker, and its process with it."""
        with suppress(Exception):  # it may be gone already, in many ways
            self._ray.cancel(self.reference, force=True)


@final
class RayEngine(Engine):
    """Tasks of a Ray cluster.

    Args:
        address: Address of the cluster; None takes the one that this machine belongs to.
        gpus: GPUs of each run, which may be a share of one.

    Raises:
        InputError: Ray is not installed, or there is no such cluster.
    """

    def __init__(self, address: str | None = None, gpus: float = 0) -> None:
        try:
            ray: Any = import_module("ray")  # whose types are there only where it is installed
        except ImportError as error:
            raise InputError(
                'The engine ray needs Ray: pip install "lnas[ray]", or leave --engine out.'
            ) from error
        try:
            ray.init(
                address=address or "auto",
                log_to_driver=False,
                logging_level=logging.ERROR,
                ignore_reinit_error=True,
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(
                f"There is no Ray cluster at {address or 'this machine'} ({reason}); start one "
                "with `ray start --head`, and give its --address."
            ) from error
        self._ray = ray
        self._gpus = gpus
        self._board = ray.remote(num_cpus=0)(Board).remote()
        # The scheduler of the study starts lost runs again, from their checkpoints.
        self._task = ray.remote(max_retries=0)(attend)

    def start(self, job: Job) -> Handle:
        """Start a task where its threads and GPUs are free."""
        task = self._task.options(num_cpus=job.threads, num_gpus=self._gpus, name=str(job.log))
        reference = task.remote(job, os.getcwd(), self._board)
        return RayHandle(self._ray, reference, str(job.log))

    def wait(self, handles: Sequence[RayHandle], seconds: float) -> None:
        """Return when a task has ended, or after so many seconds; ask how far the others are."""
        if not handles:
            return
        self._ray.wait([handle.reference for handle in handles], timeout=seconds)
        told = self._ray.get(self._board.all.remote())
        for handle in handles:
            handle.told = told.get(handle.name, 0.0)
