"""The table of a study: one row per method, mean and standard deviation over its seeds."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

from lnas.files import write_text

COLUMNS = ("method", "runs", "test accuracy", "parameters", "multiply-adds")


@dataclass(frozen=True)
class Result:
    """What one evaluation gave.

    Args:
        method: Name of the variant.
        seed: Its seed.
        accuracy: Test accuracy in [0, 1].
        parameters: Number of parameters, without auxiliary head.
        multiply_adds: Multiply-adds of one image.
        genotype: Hash of the genotype.
        folder: The evaluation's run folder.
    """

    method: str
    seed: int
    accuracy: float
    parameters: int
    multiply_adds: int
    genotype: str
    folder: str


@dataclass(frozen=True)
class Row:
    """Summary of one method: means, and the sample standard deviation of the accuracy (or NaN)."""

    method: str
    runs: int
    accuracy: float
    deviation: float
    parameters: float
    multiply_adds: float

    def texts(self) -> list[str]:
        """Return the cells as a person reads them."""
        spread = "" if math.isnan(self.deviation) else f" ± {100 * self.deviation:.2f}"
        return [
            self.method,
            str(self.runs),
            f"{100 * self.accuracy:.2f}{spread} %",
            f"{self.parameters:,.0f}",
            f"{self.multiply_adds / 1e6:,.2f} M",
        ]


def summarise(results: Sequence[Result]) -> list[Row]:
    """Return one row per method, in the order of first appearance."""
    rows = []
    for method in dict.fromkeys(result.method for result in results):
        own = [result for result in results if result.method == method]
        accuracies = [result.accuracy for result in own]
        rows.append(
            Row(
                method,
                len(own),
                fmean(accuracies),
                stdev(accuracies) if len(own) > 1 else math.nan,
                fmean(result.parameters for result in own),
                fmean(result.multiply_adds for result in own),
            )
        )
    return rows


def margin(row: Row, baseline: Row) -> str:
    """Say how far a method is above the random cells, in their standard deviations."""
    points = 100 * (row.accuracy - baseline.accuracy)
    text = f"{row.method} {points:+.2f} points over {baseline.runs} {baseline.method}"
    if baseline.deviation > 0:
        return f"{text}: {points / (100 * baseline.deviation):+.2f} standard deviations"
    return f"{text}: no standard deviation to measure it by"


def markdown(rows: Sequence[Row]) -> str:
    """Return the table as Markdown."""
    lines = [COLUMNS, ["---"] * len(COLUMNS), *(row.texts() for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def write_tables(folder: Path, results: Sequence[Result], margins: Sequence[str]) -> None:
    """Write `table.md` (a row per method) and `results.csv` (a row per run) into the folder."""
    text = markdown(summarise(results)) + "".join(f"\n{line}\n" for line in margins)
    write_text(folder / "table.md", text)
    made = io.StringIO()
    writer = csv.writer(made, lineterminator="\n")
    writer.writerow(Result.__dataclass_fields__)
    writer.writerows(list(vars(result).values()) for result in results)
    write_text(folder / "results.csv", made.getvalue())
