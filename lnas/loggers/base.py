"""What the loggers of a run folder have in common: they learn the folder late and can go back."""

from abc import abstractmethod
from pathlib import Path

from lightning.pytorch.loggers import Logger

from lnas.errors import InputError


class FolderLogger(Logger):
    """A Lightning logger that lives in the run folder and can be rewound to a checkpoint.

    Args:
        folder: The run folder; None takes the trainer's `default_root_dir` at the first row.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        super().__init__()
        self._folder = None if folder is None else Path(folder)

    def bind(self, folder: str | Path) -> None:
        """Take `folder` as the run folder unless the constructor got one."""
        if self._folder is None:
            self._folder = Path(folder)

    @property
    def folder(self) -> Path:
        """The run folder.

        Raises:
            InputError: Neither the constructor nor a trainer gave one.
        """
        if self._folder is None:
            raise InputError(
                f"{type(self).__name__} has no folder yet; give folder=... or use log_row."
            )
        return self._folder

    @property
    def save_dir(self) -> str | None:
        """The run folder as text, None before it is known."""
        return None if self._folder is None else str(self._folder)

    @property
    def name(self) -> str:
        """Empty: the run folder alone names the run."""
        return ""

    @property
    def version(self) -> str:
        """Empty: the run folder alone names the run."""
        return ""

    def close(self) -> None:  # most have nothing open
        """Bring everything to the disk: the run has ended."""

    @abstractmethod
    def rewind(self, rows: int) -> None:
        """Go on behind the first `rows` rows of metrics.csv: what a checkpoint knows of."""
