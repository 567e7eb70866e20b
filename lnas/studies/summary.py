"""One row per method: means, two kinds of spread, and two comparisons.

The spread over searches is the sample standard deviation of the cells' scores, each the mean
over the trainings of that cell; the spread over trainings is pooled within cells. They are kept
apart because they answer different questions: how much a search depends on chance, and how well
one training measures a cell. The relative improvement over random cells is that of Yang, Esperanca
and Carlucci, "NAS evaluation is frustratingly hard", ICLR 2020, arXiv:1912.12522, equation 1. The
difference to a reference is paired: seed by seed, its standard error that of the mean difference.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev

from lnas.studies.plan import RANDOM
from lnas.studies.results import Result
from lnas.tasks import ACCURACY, Measure

NAN = math.nan


@dataclass(frozen=True)
class Row:
    """A method. What cannot be computed is NaN.

    Args:
        method: Its name.
        searches: Number of its cells.
        score: Mean of the tests' scores, in the unit of their measure, as all spreads are.
        std_search: Sample standard deviation over searches.
        std_training: Standard deviation over trainings of one cell, pooled.
        parameters: Mean number of parameters.
        multiply_adds: Mean number of multiply-adds of one example.
        search_seconds: Mean wall time of a search.
        training_seconds: Mean wall time of a training.
        rank: 1 for the best mean; equal means share the better rank.
        improvement: How much better than random choice, relative to it.
        difference: Mean difference to the reference over the seeds that both have.
        difference_error: Its standard error.
        pairs: Number of those seeds.
        measure: What the score is.
    """

    method: str
    searches: int
    score: float
    std_search: float
    std_training: float
    parameters: float
    multiply_adds: float
    search_seconds: float = NAN
    training_seconds: float = NAN
    rank: int = 0
    improvement: float = NAN
    difference: float = NAN
    difference_error: float = NAN
    pairs: int = 0
    measure: Measure = ACCURACY


def summarise(
    results: Sequence[Result],
    reference: str,
    baselines: Mapping[str, Row] | None = None,
) -> list[Row]:
    """Return one row per method, in the order of first appearance, the baselines last.

    Args:
        results: All results.
        reference: The method that the others are compared with.
        baselines: By method, the exact row of random choice; None compares with the randomly drawn
            cells among the results.
    """
    methods = list(dict.fromkeys(result.method for result in results))
    own = {name: [one for one in results if one.method == name] for name in methods}
    rows = [_row(name, found) for name, found in own.items()]
    if baselines is None:
        drawn = next((row for row in rows if row.method == RANDOM), None)
        baselines = {} if drawn is None else dict.fromkeys(methods, drawn)
    else:
        rows += {baselines[name].method: baselines[name] for name in methods}.values()
    standard = _by_seed(own.get(reference, []))
    compared = []
    for row in rows:
        rank = 1 + sum(row.measure.is_better(other.score, row.score) for other in rows)
        base = baselines.get(row.method)
        if base is not None and base is not row and base.score > 0:
            gain = (row.score - base.score) / base.score
            row = replace(row, improvement=gain if row.measure.mode == "max" else -gain)
        if row.method in own and row.method not in (RANDOM, reference):
            row = _paired(row, _by_seed(own[row.method]), standard)
        compared.append(replace(row, rank=rank))
    return compared


def margin(row: Row, baseline: Row) -> str:
    """Say how far a method is above a baseline, in the baseline's standard deviations."""
    scale = row.measure.scale
    points = scale * (row.score - baseline.score)
    many = f"{baseline.searches:,} " if baseline.method == RANDOM else ""
    text = f"{row.method} {points:+.2f} {row.measure.points} over {many}{baseline.method}"
    if baseline.std_search > 0:
        return f"{text}: {points / (scale * baseline.std_search):+.2f} standard deviations"
    return f"{text}: no standard deviation to measure it by"


def _row(method: str, results: Sequence[Result]) -> Row:
    cells = _by_seed(results)
    squares = [
        (one.score - cells[one.seed]) ** 2 for one in results
    ]  # around the mean of its own cell
    free = len(results) - len(cells)
    return Row(
        method,
        len(cells),
        fmean(cells.values()),
        stdev(cells.values()) if len(cells) > 1 else NAN,
        math.sqrt(sum(squares) / free) if free else NAN,
        fmean(one.parameters for one in results),
        fmean(one.multiply_adds for one in results),
        fmean(one.search_seconds for one in results),
        fmean(one.training_seconds for one in results),
        measure=results[0].measure,
    )


def _by_seed(results: Sequence[Result]) -> dict[int, float]:
    """Return the score of the cell of each seed, the mean over its trainings."""
    seeds = dict.fromkeys(one.seed for one in results)
    return {seed: fmean(one.score for one in results if one.seed == seed) for seed in seeds}


def _paired(row: Row, own: Mapping[int, float], reference: Mapping[int, float]) -> Row:
    differences = [value - reference[seed] for seed, value in own.items() if seed in reference]
    if not differences:
        return row
    count = len(differences)
    error = stdev(differences) / math.sqrt(count) if count > 1 else NAN
    return replace(row, difference=fmean(differences), difference_error=error, pairs=count)
