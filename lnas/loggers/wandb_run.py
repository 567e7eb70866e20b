"""Weights & Biases: the rows of metrics.csv, pictures, histograms, tables and the genotype.

Offline unless the user asks otherwise; a run never waits for a login or a network. wandb keeps
rows in memory for some seconds and opens another offline folder for each attempt of a run, so a
resumed attempt first repeats the rows that its checkpoint knows of: the newest folder has all
numbers. All attempts share one run id, kept in `wandb/run-id`. Pictures and other media become part
of the next row, so that rows correspond to those of metrics.csv one by one. They are not repeated:
those of earlier epochs are in the folders of earlier attempts, as far as wandb had written them.
"""

import os
import secrets
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from torch import Tensor

from lnas.errors import InputError
from lnas.files import write_text, writing
from lnas.loggers.base import FolderLogger
from lnas.loggers.metrics_csv import MetricsCsv, Row, read_rows

Mode = Literal["offline", "online", "disabled"]
AXES = {
    "search/*": "search/step",
    "arch/*": "search/step",
    "derive/*": "search/step",
    "eval/*": "eval/step",
}


class WandbRun(FolderLogger):
    """Logs into a W&B run in the `wandb` folder of the run folder; it starts with the first row.

    Args:
        project: W&B project.
        name: Name of the run; None takes the run folder's.
        entity: W&B user or team; None takes the account's.
        tags: Tags of the run.
        mode: "offline" (the default), "online" or "disabled".
        folder: The run folder; None takes the trainer's `default_root_dir`.

    Raises:
        InputError: The mode is unknown, or "online" without a stored key.
    """

    def __init__(
        self,
        project: str = "lnas",
        name: str | None = None,
        entity: str | None = None,
        tags: Sequence[str] = (),
        mode: Mode = "offline",
        folder: str | None = None,
    ) -> None:
        super().__init__(folder)
        if mode not in get_args(Mode):
            raise InputError(f"mode={mode!r} is unknown; choose one of {get_args(Mode)}.")
        # Now and not with the first row: a run without a key is refused before it starts.
        if mode == "online" and not has_account():
            raise InputError(
                'WandbRun(mode="online") finds no key of an account; '
                'run `wandb login` once, or leave mode at "offline".'
            )
        self.project, self.run_name, self.entity, self.tags = project, name, entity, tuple(tags)
        self.mode = mode
        self.settings: dict[str, Any] = {}
        self._run: Any = None
        self._known: list[Row] = []

    @property
    def run(self) -> Any:
        """The wandb run, started when asked for; only rank 0 may ask.

        Raises:
            InputError: The folder cannot be written.
        """
        if self._run is None:
            self._run = self._start()
            for row in self._known:
                self._run.log(row)
        return self._run

    @property
    def run_id(self) -> str | None:
        """The id that all attempts share, None before the first."""
        file = self._id_file
        return file.read_text(encoding="utf-8").strip() if file.is_file() else None

    def attempts(self) -> list[str]:
        """Return the names of the folders that attempts have opened, oldest first."""
        return sorted(found.name for found in (self.folder / "wandb").glob("*run-*-*"))

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log one row; the axis of steps is part of it."""
        self._log(metrics)

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kw: Any) -> None:
        """Take the effective settings as the configuration of the run."""
        self.settings = vars(params) if isinstance(params, Namespace) else dict(params)
        if self._run is not None:
            self._run.config.update(self.settings, allow_val_change=True)

    def picture(self, name: str, path: Path) -> None:
        """Add a PNG file to the next row."""
        self._log({name: _wandb().Image(str(path))}, commit=False)

    def histogram(self, name: str, values: Tensor) -> None:
        """Add a histogram of the values, of any shape, to the next row."""
        flat = values.detach().flatten().float().cpu().numpy()
        self._log({name: _wandb().Histogram(flat)}, commit=False)

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Add a table to the next row."""
        made = _wandb().Table(columns=list(columns), data=[list(row) for row in rows])
        self._log({name: made}, commit=False)

    def file(self, path: Path, kind: str) -> None:
        """Store a file as an artifact of the given kind, named after the run and the kind."""
        artifact = _wandb().Artifact(f"{kind}-{self.run.id}", type=kind)
        with writing(self.folder / "wandb"):
            artifact.add_file(str(path))
            self.run.log_artifact(artifact)

    def rewind(self, rows: int) -> None:
        """Repeat the first `rows` rows of metrics.csv when the run starts."""
        path = self.folder / MetricsCsv.FILE
        self._known = read_rows(path)[:rows] if path.exists() else []

    def finalize(self, status: str) -> None:
        """End the run unless it went well: a test may follow a fit. Process exit ends it too."""
        if status != "success":
            self.close(1)

    def close(self, exit_code: int = 0) -> None:
        """End the run; everything is on the disk when this returns."""
        if self._run is not None:
            self._run.finish(exit_code=exit_code)
            _wandb().teardown(exit_code)  # finish alone returns before the file is written
            self._run = None

    def _log(self, values: Mapping[str, Any], commit: bool = True) -> None:
        """Log values; media become files of the run folder at once."""
        with writing(self.folder / "wandb"):
            self.run.log(dict(values), commit=commit)

    @property
    def _id_file(self) -> Path:
        return self.folder / "wandb" / "run-id"

    def _start(self) -> Any:
        wandb = _wandb()
        known = self.run_id
        if known is None:
            known = secrets.token_hex(4)
            write_text(self._id_file, known + "\n")
        quiet = wandb.Settings(silent=True, console="off", x_disable_stats=True)
        run = wandb.init(
            project=self.project, entity=self.entity, name=self.run_name or self.folder.name,
            tags=self.tags, mode=self.mode, dir=str(self.folder), config=self.settings,
            id=known, resume="allow", reinit="finish_previous", settings=quiet,
        )  # fmt: skip
        for pattern, axis in AXES.items():
            run.define_metric(axis, hidden=True)
            run.define_metric(pattern, step_metric=axis)
        return run


def has_account() -> bool:
    """Whether a key of an account is stored; nothing is asked and no network is used."""
    return bool(_wandb().login(prompt=False, verify=False))


def _wandb() -> Any:
    """Import wandb when it is used: it takes half a second."""
    os.environ.setdefault("WANDB_SILENT", "true")
    import wandb

    return wandb
