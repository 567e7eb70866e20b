"""The runs of a study and what each of them waits for.

A trial is one cell of the table: a method and a seed. Its cell comes out of a chain of searches,
then perhaps of a criterion that looks at the last one, and is then trained. Trials of one variant
that differ in their criterion share their searches.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lnas.derivation import best_operations
from lnas.derivation.scores import FILE as SCORES
from lnas.runs.folder import CONFIG, read_card
from lnas.studies.plan import RANDOM, Study, Variant, slug

EDGE_OPERATIONS = "model.space.init_args.edge_operations"
# One process scores as well as several, and a derivation is short.
ALONE = ("--trainer.strategy=auto", "--trainer.devices=1", "--trainer.num_nodes=1")


@dataclass(frozen=True)
class Run:
    """One search, derivation or evaluation, in a folder of its own.

    Args:
        kind: What it does.
        title: What the progress bar calls it.
        folder: Its run folder.
        seed: Its seed.
        options: Its other options, as far as they are known before the study begins.
        after: The run that it waits for.
        keep: How many operations of each edge it takes over from that search.
        go_on: Whether it is that search's continuation, if it was stopped early.
        drawn: The file of the random cell that an evaluation trains; None is what the run before
            it derived.
    """

    kind: Literal["search", "derive", "evaluate"]
    title: str
    folder: Path
    seed: int
    options: tuple[str, ...]
    after: "Run | None" = None
    keep: int | None = None
    go_on: bool = False
    drawn: Path | None = None

    @property
    def log(self) -> Path:
        """The file that holds what the run printed."""
        return self.folder.with_name(f"{self.folder.name}.log")

    @property
    def command(self) -> Literal["search", "evaluate"]:
        """The command whose options it takes: a derivation is the end of a search."""
        return "evaluate" if self.kind == "evaluate" else "search"

    @property
    def outcome(self) -> "Run":
        """The run that stands for this one: itself, or the one before if nothing was left to do."""
        return self.after.outcome if self.is_void and self.after is not None else self

    @property
    def is_void(self) -> bool:
        """Whether nothing was left to do: what it would go on with was not stopped early."""
        if not self.go_on or self.after is None:
            return False
        card = read_card(self.after.folder)
        return self.after.is_void or (card.get("status") == "finished" and "stopped" not in card)

    @property
    def genotype(self) -> Path | None:
        """The cell that an evaluation trains; None for other runs."""
        if self.kind != "evaluate" or self.after is None:
            return self.drawn
        return self.after.outcome.folder / "genotype.json"

    def found(self) -> list[str]:
        """Return the options that follow from the run before it, which must have ended.

        Raises:
            InputError: That run left nothing that could be taken over.
        """
        if self.keep is None or self.after is None:
            return []
        kept = best_operations(self.after.outcome.folder / SCORES, self.keep)
        return [f"--{EDGE_OPERATIONS}={json.dumps(kept)}"]

    def arguments(self) -> list[str]:
        """Return all its options; the run before it must have ended.

        Raises:
            InputError: That run left nothing that could be taken over.
        """
        if self.kind == "derive" and self.after is not None:
            return ["--config", str(self.after.outcome.folder / CONFIG), *self.options]
        cell = [] if self.genotype is None else [f"--genotype={self.genotype}"]
        return [*self.options, *self.found(), *cell, f"--seed={self.seed}"]


@dataclass(frozen=True)
class Trial:
    """One method with one seed.

    Args:
        method: Its row of the table.
        seed: Seed of search and evaluation; of a random cell, seed of the draw and evaluation.
        searches: The runs that find the cell; none draws it at random.
        evaluations: The trainings of the cell; none asks a benchmark.
    """

    method: str
    seed: int
    searches: tuple[Run, ...]
    evaluations: tuple[Run, ...]

    @property
    def genotype(self) -> Path:
        """The file of its cell."""
        if self.searches:
            return self.searches[-1].outcome.folder / "genotype.json"
        drawn = self.evaluations[0].drawn
        assert drawn is not None
        return drawn

    @property
    def runs(self) -> tuple[Run, ...]:
        """All runs, in their order."""
        return self.searches + self.evaluations


def trials(study: Study) -> Iterator[Trial]:
    """Yield the trials in the order they run: all variants of a seed, then the next seed."""
    for seed in study.seeds:
        for variant in study.variants:
            yield from _variant_trials(study, variant, seed)
    for index in range(study.random if study.truth is None and study.retrainings else 0):
        # Distinct draws even when there are fewer seeds than random cells.
        seed = study.seeds[0] + index
        folder = study.root / f"{slug(RANDOM)}-{seed}"
        evaluations = _evaluations(study, RANDOM, seed, folder / "evaluate", None)
        yield Trial(RANDOM, seed, (), evaluations)


def runs_of(planned: Sequence[Trial]) -> list[Run]:
    """Return the runs of all trials, each once, none before the one that it waits for."""
    return list(dict.fromkeys(run for trial in planned for run in trial.runs))


def _variant_trials(study: Study, variant: Variant, seed: int) -> Iterator[Trial]:
    folder = study.root / f"{slug(variant.name)}-{seed}"
    chain = searches(variant, seed, folder)
    if not variant.criteria:
        trained = _evaluations(study, variant.name, seed, folder / "evaluate", chain[-1])
        yield Trial(variant.name, seed, chain, trained)
    for (name, criterion), method in zip(variant.criteria.items(), variant.methods(), strict=False):
        title = f"derive {method}, seed {seed}"
        place = folder / f"derive-{slug(name)}"
        options = criterion_options(criterion)
        derived = Run("derive", title, place, seed, options, after=chain[-1])
        trained = _evaluations(study, method, seed, folder / f"evaluate-{slug(name)}", derived)
        yield Trial(method, seed, (*chain, derived), trained)


def searches(variant: Variant, seed: int, folder: Path) -> tuple[Run, ...]:
    """Return the chain of searches of a variant; it is one search unless there are stages."""
    options = tuple(variant.search.arguments())
    title = f"search {variant.name}, seed {seed}"
    if not variant.stages:
        return (Run("search", title, folder / "search", seed, options),)
    chain: list[Run] = []
    for number, stage in enumerate(variant.stages, start=1):
        chain.append(
            Run(
                "search",
                f"{title}, stage {number} of {len(variant.stages)}",
                folder / f"search-{number}",
                seed,
                (*options, *stage.arguments()),
                after=chain[-1] if chain else None,
                keep=stage.keep,
                go_on=stage.go_on,
            )
        )
    return tuple(chain)


def criterion_options(criterion: Any) -> tuple[str, ...]:
    """Return the options that leave nothing of a search but a derivation by this criterion."""
    callback = {
        "class_path": "lnas.callbacks.DeriveGenotype",
        "init_args": {"criterion": criterion},
    }
    # From nothing: a list would inherit what it leaves open from a list of equal length before it.
    callbacks = ("--trainer.callbacks=null", f"--trainer.callbacks={json.dumps([callback])}")
    return (*callbacks, "--trainer.logger=false", *ALONE)


def _evaluations(
    study: Study, method: str, seed: int, folder: Path, after: Run | None
) -> tuple[Run, ...]:
    """Return the trainings of what `after` derives, or of the random cell of this seed."""
    if study.evaluation is None:
        return ()
    found = []
    for number in range(study.retrainings):
        again = f", training {number + 1}" if number else ""
        home = folder.with_name(f"{folder.name}.{number + 1}") if number else folder
        title = f"evaluate {method}, seed {seed}{again}"
        # Other initial weights, and the same ones for all methods.
        own = seed + 1000 * number
        options = tuple(study.evaluation.arguments())
        drawn = folder.parent / "genotype.json" if after is None else None
        found.append(Run("evaluate", title, home, own, options, after=after, drawn=drawn))
    return tuple(found)
