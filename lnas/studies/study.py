"""Runs a study: every trial searched or drawn, then evaluated; finished runs are not repeated."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser
from lightning.pytorch.callbacks import Callback

from lnas.derivation import RandomChoice, SelectionContext
from lnas.errors import InputError
from lnas.relaxations import Softmax
from lnas.runs.folder import CONFIG, differences, read_settings
from lnas.runs.training import evaluate, search, settings_of
from lnas.spaces import SearchSpace
from lnas.studies.plan import Study, Trial, trials
from lnas.studies.progress import StudyProgress
from lnas.studies.table import Result
from lnas.supernet import Architecture

Run = Callable[[Sequence[str], Sequence[Callback]], Path]


def run_study(study: Study, progress: StudyProgress) -> list[Result]:
    """Run what is not finished yet, one run after the other.

    Args:
        study: The study.
        progress: Told of every batch.

    Returns:
        One result per trial, in their order.
    """
    results = []
    planned = list(trials(study))
    check_plan(study, planned)
    for trial in planned:
        label = f"{trial.method}, seed {trial.seed}"
        if trial.search is not None:
            with progress.run(f"search {label}"):
                arguments = [*trial.search, f"--seed={trial.seed}"]
                _run("search", search, arguments, trial.folder / "search", study, progress)
        else:
            draw_cell(space_of(study), trial)
        with progress.run(f"evaluate {label}"):
            folder = trial.folder / "evaluate"
            _run("evaluate", evaluate, evaluation(study, trial), folder, study, progress)
        results.append(read_result(trial))
    return results


def evaluation(study: Study, trial: Trial) -> list[str]:
    """Return the options of a trial's evaluation."""
    options = study.evaluation.arguments()
    return [*options, f"--genotype={trial.genotype}", f"--seed={trial.seed}"]


def check_plan(study: Study, planned: Sequence[Trial]) -> None:
    """Read the options of every kind of run before the first one starts.

    Raises:
        InputError: An option of a late run is wrong.
    """
    for trial in planned[: len(study.variants)]:
        if trial.search is not None:
            settings_of("search", trial.search)
    settings_of("evaluate", [*study.evaluation.arguments(), "--genotype=darts_v2"])


def draw_cell(space: SearchSpace, trial: Trial) -> None:
    """Write a randomly drawn genotype of the space into the trial's folder."""
    architecture = Architecture(space, Softmax())
    context = SelectionContext(architecture=architecture, seed=trial.seed)
    space.derive(RandomChoice(trial.seed).scores(context)).save(trial.genotype)


def space_of(study: Study) -> SearchSpace:
    """Return the search space of the study's first variant."""
    settings = settings_of("search", study.variants[0].search.arguments())
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(SearchSpace, "space")
    parsed = parser.parse_object({"space": settings["model"]["space"]})
    space: SearchSpace = parser.instantiate(parsed).space
    return space


def is_finished(command: str, folder: Path) -> bool:
    """Whether the run in the folder came to its end, an evaluation to that of its test."""
    card = read_card(folder)
    tested = command == "search" or "eval/test_accuracy" in card.get("results", {})
    return bool(card.get("status") == "finished") and tested


def read_card(folder: Path) -> dict[str, Any]:
    """Return a run's card; empty when there is none yet."""
    try:
        card = json.loads((folder / "run_card.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return card if isinstance(card, dict) else {}


def read_result(trial: Trial) -> Result:
    """Return what the trial's evaluation wrote into its run card.

    Raises:
        InputError: The card has no results.
    """
    folder = trial.folder / "evaluate"
    card = read_card(folder)
    try:
        results = card["results"]
        return Result(
            trial.method,
            trial.seed,
            results["eval/test_accuracy"],
            int(results["eval/parameters"]),
            int(results["eval/multiply_adds"]),
            card["genotype_hash"],
            str(folder),
        )
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{folder / 'run_card.json'} has no {error}; remove {folder} and repeat the study."
        ) from error


def _run(
    command: str,
    run: Run,
    arguments: Sequence[str],
    folder: Path,
    study: Study,
    progress: StudyProgress,
) -> None:
    """Start a run, go on with it, or leave it when it is finished with these very settings."""
    arguments = [*arguments, "--trainer.enable_progress_bar=false"]
    known = (folder / CONFIG).is_file()
    if known:
        changed = differences(read_settings(folder), settings_of(command, arguments))
        if changed and not study.overwrite:
            raise InputError(
                f"{folder} was run with other settings: {'; '.join(changed[:5])}; choose another "
                "--folder for the study, or replace its runs with --overwrite=true."
            )
        if not changed and is_finished(command, folder):
            return
        known = not changed
    place = [f"--resume={folder}"] if known else [f"--run.folder={folder}"]
    overwrite = ["--run.overwrite"] if study.overwrite and not known else []
    run([*arguments, *place, *overwrite], [progress])
