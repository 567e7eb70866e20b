"""metrics.csv: every row of a run, written at once, so that a killed run loses nothing.

Columns stand in the order of their first appearance (those of one row by name), numbers are
written with `repr`, hence exactly. A resumed run drops the rows that its checkpoint does not know
of and so ends with the very file that an uninterrupted run writes.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lnas.errors import InputError
from lnas.files import write_text, writing
from lnas.loggers.base import FolderLogger

Row = dict[str, float]


class MetricsCsv(FolderLogger):
    """Writes one line per row into `metrics.csv` of the run folder.

    Unless `rewind` was called, the first row starts the file anew.

    Args:
        folder: The run folder; None takes the trainer's `default_root_dir`.
    """

    FILE = "metrics.csv"

    def __init__(self, folder: str | Path | None = None) -> None:
        super().__init__(folder)
        self.rows = 0
        self._columns: list[str] = []

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / self.FILE

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Append one row; it is with the system, and survives a kill, when this returns.

        Args:
            metrics: Numbers by column; `None` and absent columns stay empty.
            step: Not used: the axis of steps is a column.

        Raises:
            InputError: The file cannot be written.
        """
        known = set(self._columns)
        new = sorted(name for name in metrics if name not in known)
        if new or self.rows == 0:
            self._write([*self._columns, *new], read_rows(self.path) if self.rows else [])
        # Opened for each row: nothing to close when a run ends in whatever way.
        with writing(self.path), self.path.open("a", encoding="utf-8", newline="") as file:
            file.write(_line([_text(metrics.get(name)) for name in self._columns]))
        self.rows += 1

    def rewind(self, rows: int) -> None:
        """Keep the first `rows` rows, and the columns that they use.

        Raises:
            InputError: The file holds fewer rows, or cannot be written.
        """
        kept = read_rows(self.path)[:rows] if self.path.exists() else []
        if len(kept) < rows:
            raise InputError(
                f"{self.path} has {len(kept)} rows but the checkpoint knows of {rows}; "
                "restore the file or start the run anew."
            )
        columns: list[str] = []
        for row in kept:
            columns += sorted(set(row) - set(columns))
        self._write(columns, kept)
        self.rows = rows

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the effective configuration is config.yaml of the run folder."""

    def _write(self, columns: list[str], rows: Sequence[Row]) -> None:
        """Replace the file at once."""
        lines = [_line([_text(row.get(name)) for name in columns]) for row in rows]
        write_text(self.path, _line(columns) + "".join(lines) if columns else "")
        self._columns = columns


def read_rows(path: str | Path) -> list[Row]:
    """Read a metrics.csv exactly: whole numbers as int, others as float, empty cells left out.

    A last line without its newline (a kill in the midst of a write) is not a row.

    Raises:
        InputError: The file cannot be read or is no table of numbers.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        lines = csv.reader(io.StringIO(text[: text.rfind("\n") + 1]))
        header = next(lines, [])
        return [
            {name: _number(cell) for name, cell in zip(header, line, strict=True) if cell}
            for line in lines
        ]
    except (OSError, ValueError) as error:
        raise InputError(
            f"Cannot read {path} as rows of numbers: {error}; restore the file."
        ) from error


def _line(cells: Sequence[str]) -> str:
    made = io.StringIO()
    csv.writer(made, lineterminator="\n").writerow(cells)
    return made.getvalue()


def _text(value: float | None) -> str:
    if value is None:
        return ""
    return repr(int(value)) if isinstance(value, int) else repr(float(value))


def _number(cell: str) -> float:
    return int(cell) if cell.lstrip("-").isdecimal() else float(cell)
