"""One run of a study as a process of its own.

The process is a fork of a server that has imported everything: it starts in no time and shares
nothing with other runs. It prints into its log, leaves Ctrl-C to the study, and ends when the study
is gone, so that a killed study leaves nobody behind who writes into its folders.
"""

import importlib.util
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from lnas.runs.derivation import derive
from lnas.runs.exit_codes import exit_code
from lnas.runs.training import evaluate, search


@dataclass(frozen=True)
class Job:
    """What a process does.

    Args:
        kind: "search", "derive" or "evaluate".
        arguments: Its options.
        log: Where it prints, behind what is there.
        threads: Threads that torch computes with.
        source: The search that is derived from.
    """

    kind: str
    arguments: tuple[str, ...]
    log: Path
    threads: int
    source: Path | None = None


class ReportProgress(Callback):
    """Tells how far a training is, as a number in [0, 1].

    Args:
        tell: Is told after every batch.
    """

    def __init__(self, tell: Callable[[float], None]) -> None:
        self.tell = tell

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Tell."""
        batches = float(trainer.num_training_batches)
        epochs = trainer.max_epochs or 1
        self.tell((trainer.current_epoch + (batch_idx + 1) / batches) / epochs)


def perform(job: Job, tell: Callable[[float], None]) -> int:
    """Do what the job says in this process and return the exit code."""
    torch.set_num_threads(job.threads)
    reports = [ReportProgress(tell)]

    def act() -> int:
        if job.kind == "derive":
            assert job.source is not None
            derive(job.source, job.arguments, reports)
        else:
            {"search": search, "evaluate": evaluate}[job.kind](job.arguments, reports)
        return 0

    return exit_code(act)


def run_process(job: Job, progress: "Synchronized[float]") -> None:
    """Be the process of a job: never returns.

    Args:
        job: What to do.
        progress: Shared memory for how far it is.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to all of us at once
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _print_into(job.log)
    _end_with_parent()
    if job.kind != "derive":
        _look_like_the_command(job)

    def tell(value: float) -> None:
        progress.value = value

    sys.exit(perform(job, tell))


def _print_into(log: Path) -> None:
    """Append all that the process and its children print to the file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    print(f"== {time.strftime('%Y-%m-%d %H:%M:%S')}", flush=True)


def _end_with_parent() -> None:
    """End at once, in the background, when the study has gone without a word."""
    parent: Any = multiprocessing.parent_process()

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="watch-study").start()


def _look_like_the_command(job: Job) -> None:
    """Let Lightning start further ranks: it repeats the command line of the first one."""
    main: Any = sys.modules["__main__"]
    main.__spec__ = importlib.util.find_spec("lnas.__main__")
    sys.argv = [sys.argv[0], job.kind, *job.arguments]
