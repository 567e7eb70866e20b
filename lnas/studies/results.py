"""The results of a study, read from its run folders."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lnas.errors import InputError
from lnas.runs.folder import read_card
from lnas.studies.graph import Run, Trial
from lnas.studies.state import is_finished
from lnas.tasks import ACCURACY, Measure


@dataclass(frozen=True)
class Result:
    """What one training of one cell gave, or what a benchmark knows of it.

    Args:
        method: Row of the table.
        seed: Seed of the search.
        training: Number of the training of this cell, from 1.
        score: What its test gave, by the measure of its task.
        parameters: Number of parameters, without auxiliary head.
        multiply_adds: Multiply-adds of one example, e.g. one image.
        search_seconds: Wall time of all searches that led to the cell; 0 for a random one.
        training_seconds: Wall time of the training, test included.
        genotype: Hash of the genotype.
        folder: The evaluation's run folder, or the one that the cell was derived in.
        measure: What the score is.
    """

    method: str
    seed: int
    training: int
    score: float
    parameters: int
    multiply_adds: int
    search_seconds: float
    training_seconds: float
    genotype: str
    folder: str
    measure: Measure = ACCURACY


def trained_results(planned: Sequence[Trial]) -> list[Result]:
    """Return what the finished evaluations have found, in the order of the trials.

    Raises:
        InputError: A run card lacks a result.
    """
    return [
        _result(trial, number, run)
        for trial in planned
        for number, run in enumerate(trial.evaluations, start=1)
        if is_finished(run)
    ]


def search_seconds(trial: Trial) -> float:
    """Return the wall time of a trial's searches, in seconds."""
    total, before = 0.0, 0.0
    for run in trial.searches:
        if run.is_void:
            continue
        own = float(read_card(run.folder).get("wall_time_seconds", 0.0))
        # A derivation, and a search that goes on, take over the clock of the run before.
        total += own - before if run.kind == "derive" or run.go_on else own
        before = own
    return total


def _result(trial: Trial, number: int, run: Run) -> Result:
    card = read_card(run.folder)
    try:
        found: dict[str, Any] = card["results"]
        measure = Measure(**card["measure"])
        return Result(
            trial.method,
            trial.seed,
            number,
            found[f"eval/test_{measure.name}"],
            int(found["eval/parameters"]),
            int(found["eval/multiply_adds"]),
            search_seconds(trial),
            float(card["wall_time_seconds"]),
            card["genotype_hash"],
            str(run.folder),
            measure,
        )
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{run.folder / 'run_card.json'} has no {error}; remove {run.folder} and repeat the "
            "study."
        ) from error
