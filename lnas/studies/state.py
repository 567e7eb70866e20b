"""Which runs of a study are finished, and with what options the others start or go on.

A run is finished when its card says so and was written for these very settings and this very cell.
Everything is read from the run folders, so that it does not matter how a study was ended.
"""

import shutil
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from lnas.callbacks.run_card import config_hash
from lnas.derivation import SelectionCriterion
from lnas.errors import InputError
from lnas.genotype import Genotype
from lnas.runs.command_line import RunParser
from lnas.runs.folder import CONFIG, differences, read_card, read_settings
from lnas.runs.training import settings_of, stated_of
from lnas.spaces import SearchSpace
from lnas.studies.graph import EDGE_OPERATIONS, Run
from lnas.studies.plan import Study, Variant

SHOWN = 5


def to_do(run: Run, overwrite: bool) -> list[str] | None:
    """Return the options to start the run with, or to go on with it; None when it is finished.

    Args:
        run: A run that waits for nothing any more.
        overwrite: Replace it when it was made with other settings.

    Raises:
        InputError: It was made with other settings, or what it needs cannot be read.
    """
    if run.is_void:
        return None
    arguments = run.arguments()
    if not (run.folder / CONFIG).is_file():
        return [*arguments, f"--run.folder={run.folder}"]
    settings = effective_settings(run)
    changed = differences(read_settings(run.folder), settings) + _other_cell(run)
    if not changed:
        if is_finished(run, settings):
            return None
        return [*arguments, f"--resume={run.folder}"]
    if not overwrite:
        raise InputError(
            f"{run.folder} was run with other settings: {'; '.join(changed[:SHOWN])}; choose "
            "another --folder for the study, or replace its runs with --overwrite=true."
        )
    return [*arguments, f"--run.folder={run.folder}"]


def clear(run: Run) -> None:
    """Remove what is left of a run that starts anew; it is gone at once or not at all."""
    if not run.folder.is_dir():
        return
    rubbish = run.folder.with_name(f".{run.folder.name}.old")
    shutil.rmtree(rubbish, ignore_errors=True)
    run.folder.rename(rubbish)
    shutil.rmtree(rubbish, ignore_errors=True)


def is_finished(run: Run, settings: dict[str, Any] | None = None) -> bool:
    """Whether the run in the folder came to its end.

    Args:
        run: The run.
        settings: What it must have been made with; None takes the card's word.
    """
    run = run.outcome
    card = read_card(run.folder)
    if card.get("status") != "finished" or not isinstance(card.get("config"), dict):
        return False
    if card.get("config_hash") != config_hash(card["config"] if settings is None else settings):
        return False
    if run.kind == "evaluate":
        tested = f"eval/test_{card.get('measure', {}).get('name')}" in card.get("results", {})
        return tested and not _other_cell(run)
    return card.get("genotype_hash") == _hash_of(run.folder / "genotype.json") is not None


def effective_settings(run: Run) -> dict[str, Any]:
    """Return the settings that the run's command would run with.

    Runs that only differ in seed and cell are read once: these two stand for themselves.
    """
    if run.kind == "derive":
        return settings_of("search", run.arguments())
    cell = {} if run.genotype is None else {"genotype": str(run.genotype)}
    return _settings(run.command, *run.options, *run.found()) | {"seed": run.seed} | cell


def stated_hash(run: Run) -> str:
    """Return the hash of what the study and the configs that it names say of the run, cell apart.

    Two runs of one such hash were asked to do the same. What they then did may differ in what
    nobody stated, the defaults of a class; a run's card has the hash of all its settings.
    """
    before = run.after.options if run.kind == "derive" and run.after is not None else ()
    stated = stated_of(run.command, (*before, *run.options))
    return config_hash({"kind": run.kind, "seed": run.seed, "stated": stated})


@lru_cache(maxsize=256)
def _settings(command: str, *arguments: str) -> dict[str, Any]:
    return settings_of(command, arguments)


def check_plan(study: Study, planned: Sequence[Run]) -> None:
    """Read the options of every kind of run before the first one starts.

    Raises:
        InputError: An option of a late run is wrong.
    """
    for variant in study.variants:
        for criterion in variant.criteria.values():
            # By itself: a mistake within the list of callbacks would not be named.
            parser = RunParser()
            parser.add_subclass_arguments(SelectionCriterion, "criterion")
            parser.instantiate(parser.parse_object({"criterion": criterion}))
    for run in planned:
        if run.kind == "derive":
            assert run.after is not None
            _settings("search", *run.after.options, *run.options)
        elif run.keep is not None:
            _settings("search", *run.options, f"--{EDGE_OPERATIONS}=null")
        else:
            _settings(run.command, *run.options)


def space_of(variant: Variant) -> SearchSpace:
    """Return the search space of a variant, before any stage narrows it."""
    settings = _settings("search", *variant.search.arguments())
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(SearchSpace, "space")
    parsed = parser.parse_object({"space": settings["model"]["space"]})
    space: SearchSpace = parser.instantiate(parsed).space
    return space


def _other_cell(run: Run) -> list[str]:
    """Return how the cell of an evaluation differs from the one that its card names."""
    before = read_card(run.folder).get("genotype_hash")
    now = None if run.genotype is None else _hash_of(run.genotype)
    return [f"genotype: {before} -> {now}"] if now is not None and before not in (None, now) else []


def _hash_of(genotype: Path) -> str | None:
    try:
        return Genotype.load(genotype).hash
    except InputError:
        return None
