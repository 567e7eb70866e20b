"""The table of a study: for people as Markdown, for programs as CSV."""

import csv
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from lnas.files import write_text
from lnas.studies.results import Result
from lnas.studies.summary import Row
from lnas.tasks import ACCURACY

LEGEND = (
    "n: cells, one for each search; test: mean ± standard deviation over the cells; "
    "retraining: standard deviation over trainings of one cell, pooled; over random: improvement "
    "relative to random choice; vs: mean difference over equal seeds, in points or as measured, "
    "± its standard error; seconds: wall time of a search + of a training."
)


def columns(rows: Sequence[Row], reference: str = "reference") -> dict[str, list[str]]:
    """Return the cells of the table as a person reads them, by the names of their columns.

    A column is left out when no row has anything to say in it.

    Args:
        rows: One row per method.
        reference: Name of the method that the others are compared with.
    """
    measure = rows[0].measure if rows else ACCURACY
    scale = measure.scale
    texts: dict[str, Callable[[Row], str]] = {
        "method": lambda row: row.method,
        "n": lambda row: f"{row.searches:,}",
        f"test {measure.name}": lambda row: (
            f"{scale * row.score:.2f}{_spread(scale * row.std_search)}{measure.unit}"
        ),
        "retraining": lambda row: _spread(scale * row.std_training).strip(),
        "rank": lambda row: str(row.rank),
        "over random": lambda row: _signed(100 * row.improvement, " %"),
        f"vs {reference}": lambda row: _signed(
            scale * row.difference, _spread(scale * row.difference_error)
        ),
        "parameters": lambda row: f"{row.parameters:,.0f}",
        "multiply-adds": lambda row: f"{row.multiply_adds / 1e6:,.2f} M",
        "seconds": _seconds,
    }
    made = {name: [text(row) for row in rows] for name, text in texts.items()}
    return {name: cells for name, cells in made.items() if any(cells)}


def markdown(rows: Sequence[Row], reference: str = "reference") -> str:
    """Return the table as Markdown."""
    table = columns(rows, reference)
    lines = [list(table), ["---"] * len(table), *zip(*table.values(), strict=True)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def write_tables(
    folder: Path,
    results: Sequence[Result],
    rows: Sequence[Row],
    notes: Sequence[str] = (),
    reference: str = "reference",
) -> None:
    """Write `table.md` and `table.csv` (a row per method), `results.csv` (a row per training).

    Args:
        folder: Where to.
        results: All results.
        rows: One row per method.
        notes: Lines to stand below the table.
        reference: Name of the method that the others are compared with.
    """
    text = markdown(rows, reference) + "".join(f"\n{line}\n" for line in (*notes, LEGEND))
    write_text(folder / "table.md", text)
    write_text(folder / "table.csv", _csv(Row, rows))
    write_text(folder / "results.csv", _csv(Result, results))


@dataclass(frozen=True)
class StudyTable:
    """What `table.md` says.

    Args:
        header: Names of the columns.
        rows: The cells of each method, as a person reads them.
        notes: The lines below the table.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]

    @property
    def methods(self) -> list[str]:
        """The methods, from top to bottom."""
        return [row[0] for row in self.rows]


def read_table(folder: Path) -> StudyTable | None:
    """Return the table that a study has written into its folder; None when there is none yet."""
    path = folder / "table.md"
    if not path.is_file():
        return None
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    drawn = [line for line in lines if line.startswith("| ")]
    notes = tuple(line for line in lines if line and not line.startswith("| "))
    if len(drawn) < 2:
        return StudyTable((), (), notes)
    count = drawn[1].count("---")
    # Only the first cell, a method's name, is anybody's text: it may hold a bar.
    header, _, *rows = (
        tuple(line.removeprefix("| ").removesuffix(" |").rsplit(" | ", count - 1)) for line in drawn
    )
    return StudyTable(header, tuple(row for row in rows if len(row) == count), notes)


@dataclass(frozen=True)
class Scores:
    """What every training gave: (method, score), and the name of the measure."""

    measure: str
    values: tuple[tuple[str, float], ...]


def read_scores(folder: Path) -> Scores | None:
    """Return the scores in a study's `results.csv`; None when there are none, or it is damaged."""
    try:
        with (folder / "results.csv").open(encoding="utf-8", newline="") as file:
            header, *rows = list(csv.reader(file))
        place = [field.name for field in fields(Result)].index("score")
        values = tuple((row[0], float(row[place])) for row in rows)
        return Scores(header[place], values) if values else None
    except (OSError, ValueError, IndexError, csv.Error):
        return None


def read_methods(folder: Path) -> list[str]:
    """Return the methods of a study's `runs.csv`, in their order; none without it."""
    try:
        with (folder / "runs.csv").open(encoding="utf-8", newline="") as file:
            return list(dict.fromkeys(row["method"] for row in csv.DictReader(file)))
    except (OSError, ValueError, KeyError, csv.Error):
        return []


def _csv(kind: type[Any], rows: Sequence[Any]) -> str:
    """Return dataclasses as CSV: numbers exactly, NaN as nothing, scores under their own name."""
    made = io.StringIO()
    writer = csv.writer(made, lineterminator="\n")
    names = [field.name for field in fields(kind) if field.name != "measure"]
    measure = rows[0].measure if rows else ACCURACY
    writer.writerow([measure.name if name == "score" else name for name in names])
    for row in rows:
        values = [getattr(row, name) for name in names]
        writer.writerow(["" if value != value else value for value in values])
    return made.getvalue()


def _spread(value: float) -> str:
    return "" if math.isnan(value) else f" ± {value:.2f}"


def _signed(value: float, rest: str) -> str:
    return "" if math.isnan(value) else f"{value:+.2f}{rest}"


def _seconds(row: Row) -> str:
    parts = [row.search_seconds, row.training_seconds]
    return " + ".join(f"{part:,.0f}" for part in parts if not math.isnan(part))
