"""RunCard: `run_card.json`, what one has to know of a run to trust or repeat it."""

import hashlib
import json
import platform
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, final

from lightning.pytorch import Callback, LightningModule, Trainer

from lnas import kernels
from lnas.callbacks.early_stop import reason_of
from lnas.errors import InputError, Interrupted, NonFiniteError
from lnas.files import write_text
from lnas.genotype import Genotype
from lnas.loggers import MetricsCsv, WandbRun, read_rows
from lnas.search.trainer import data_of
from lnas.tasks import Task

PACKAGES = ("lnas", "torch", "lightning", "torchvision", "torchmetrics", "wandb", "numpy")
FILE = "run_card.json"


@final
class RunCard(Callback):
    """Writes the card when a run starts, ends, fails or is interrupted.

    The card says: versions, seed, hash of the data split, effective configuration and its hash,
    wall time in seconds (of the attempts that led here: what a kill took away is not counted),
    hash of the genotype, the last value of each logged number, which of them networks are compared
    by, W&B's folders, why the search was stopped early if it was, and the status "running",
    "finished", "interrupted" or "failed".

    Args:
        config: The effective configuration, plain data; None leaves it out.
    """

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        self.config = None if config is None else dict(config)
        self._earlier = 0.0
        self._begun = False
        self._started = time.monotonic()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the first card (a run that is killed has one) and tell the loggers the settings."""
        if self.config is not None and trainer.is_global_zero:
            for logger in trainer.loggers:
                logger.log_hyperparams(self.config)
        self._begun = True
        self.write(trainer, "running")

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take back "finished" until the test has ended, too."""
        self._begun = True
        self.write(trainer, "running")

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the card behind all other callbacks' end of the fit or the test."""
        self.write(trainer, "finished")
        trainer.strategy.barrier("run card")

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Write how it ended, if it has begun; the ranks that raise together wait for rank 0."""
        if not self._begun:
            return
        interrupted = isinstance(exception, (Interrupted, KeyboardInterrupt))
        with suppress(InputError):  # a full disk must not hide what happened
            self.write(trainer, "interrupted" if interrupted else "failed", str(exception))
        if isinstance(exception, (Interrupted, NonFiniteError)):
            trainer.strategy.barrier("run card")

    def state_dict(self) -> dict[str, Any]:
        """Return the wall time so far, in seconds."""
        return {"seconds": self._seconds()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Add the time of earlier attempts."""
        self._earlier = float(state_dict["seconds"])
        self._started = time.monotonic()

    def write(self, trainer: Trainer, status: str, message: str = "") -> None:
        """Write the card on rank 0."""
        if not trainer.is_global_zero:
            return
        card = self._card(trainer, status)
        if message:
            card["message"] = message
        write_text(Path(trainer.default_root_dir) / FILE, json.dumps(card, indent=2) + "\n")

    def _card(self, trainer: Trainer, status: str) -> dict[str, Any]:
        folder = Path(trainer.default_root_dir)
        card: dict[str, Any] = {
            "status": status,
            "versions": versions(),
            "seed": getattr(trainer.lightning_module, "seed", None),
            "split_hash": getattr(data_of(trainer), "split_hash", None),
            "devices": trainer.world_size,
            "compiled_kernels": kernels.calls() > 0,  # they round otherwise than torch's operators
            "wall_time_seconds": round(self._seconds(), 1),
            "genotype_hash": _genotype_hash(trainer, folder),
            "results": last_values(folder / MetricsCsv.FILE),
        }
        task = getattr(trainer.lightning_module, "task", None)
        if isinstance(task, Task):
            card["measure"] = asdict(task.measure)
        stopped = reason_of(trainer)
        if stopped is not None:
            card["stopped"] = stopped
        for logger in trainer.loggers:
            if isinstance(logger, WandbRun):
                logger.bind(folder)
                card["wandb"] = {"id": logger.run_id, "folders": logger.attempts()}
        if self.config is not None:
            card["config_hash"] = config_hash(self.config)
            card["config"] = self.config
        return card

    def _seconds(self) -> float:
        return self._earlier + time.monotonic() - self._started


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found


def config_hash(config: Mapping[str, Any]) -> str:
    """Return the sha256 of a configuration; the order of its keys does not matter."""
    text = json.dumps(config, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def last_values(path: Path) -> dict[str, float]:
    """Return the last value of each column of a metrics.csv; empty without the file."""
    values: dict[str, float] = {}
    for row in read_rows(path) if path.is_file() else []:
        values |= row
    return values


def _genotype_hash(trainer: Trainer, folder: Path) -> str | None:
    """Return the hash of what was derived, or of what is trained."""
    trained = getattr(trainer.lightning_module, "genotype", None)
    if isinstance(trained, Genotype):
        return trained.hash
    path = folder / "genotype.json"
    return Genotype.load(path).hash if path.is_file() else None
