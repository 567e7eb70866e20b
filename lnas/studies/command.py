"""`lnas study`: reads a study's file, runs it, writes its tables, and tells where everything is."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from lnas.benchmarks import NasBench201Benchmark
from lnas.runs.command_line import RunParser
from lnas.runs.shipped import expand_configs
from lnas.studies.engine import Engine, LocalEngine
from lnas.studies.graph import Trial, trials
from lnas.studies.picture import score_picture
from lnas.studies.plan import RANDOM, Options, Stage, Study, Variant
from lnas.studies.progress import StudyProgress
from lnas.studies.records import write_records
from lnas.studies.results import Result, trained_results
from lnas.studies.study import Failure, run_study
from lnas.studies.summary import Row, margin, summarise
from lnas.studies.table import columns, write_tables
from lnas.studies.truth import random_choice, true_results


def study_command(arguments: Sequence[str]) -> int:
    """Run the study that the options describe and return the exit code.

    Raises:
        InputError: The study's file or an option of one of its runs is wrong.
        Interrupted: A signal ended it.
    """
    study = read_study(arguments)
    console = Console(highlight=False)
    planned = list(trials(study))
    benchmark = None if study.truth is None else NasBench201Benchmark()
    exact = None if benchmark is None else random_choice(study, benchmark)
    progress = StudyProgress(console)
    with progress.shown():
        failures = run_study(study, planned, engine_of(study), progress)
    if benchmark is None:
        results = trained_results(planned)
    else:
        results = true_results(study, planned, benchmark)
    report(console, study, planned, results, failures, exact)
    return next((failure.code if failure.code > 0 else 1 for failure in failures), 0)


def engine_of(study: Study) -> Engine:
    """Return what starts the runs.

    Raises:
        InputError: There is no such cluster.
    """
    if study.engine == "local":
        return LocalEngine()
    from lnas.studies.ray_engine import RayEngine

    return RayEngine(study.address, study.gpus)


def read_study(arguments: Sequence[str]) -> Study:
    """Return the study that the options of `lnas study` describe.

    Raises:
        InputError: There is no such study, or an option is wrong.
    """
    expanded, _ = expand_configs(arguments, ("study",))
    parser = RunParser(prog="lnas study")
    parser.add_argument("-c", "--config", action="config", help="the study's file or name")
    parser.add_class_arguments(Study)
    given = parser.parse_args(expanded).as_dict()
    del given["config"]
    return study_of(given)


def study_of(given: Mapping[str, Any]) -> Study:
    """Return the study that checked options describe, nested as in its file."""
    variants = [
        Variant(
            **{
                **one,
                "search": Options(**one["search"]),
                "stages": [Stage(**stage) for stage in one["stages"]],
            }
        )
        for one in given["variants"]
    ]
    trained = given["evaluation"]
    evaluation = None if trained is None else Options(**trained)
    return Study(**{**given, "variants": variants, "evaluation": evaluation})


def report(
    console: Console,
    study: Study,
    planned: Sequence[Trial],
    results: Sequence[Result],
    failures: Sequence[Failure] = (),
    exact: Mapping[str, Row] | None = None,
) -> None:
    """Write the tables and the picture; print the table, what failed, and where everything is.

    Args:
        console: Where to print.
        study: The study.
        planned: Its trials.
        results: What they gave.
        failures: The runs that failed.
        exact: The row of random choice for each method, when a benchmark knows it.
    """
    root = study.root
    unheard = write_records(study, planned)
    reference = study.reference or study.methods()[0]
    rows = summarise(results, reference, exact)
    drawn = [row for row in rows if row.method == RANDOM]
    bases = exact or {row.method: drawn[0] for row in rows if drawn and row is not drawn[0]}
    notes = [margin(row, bases[row.method]) for row in rows if row.method in bases]
    notes += [str(failure) for failure in failures]
    notes += [
        f"No run has logged the signal {name}; metrics.csv of a run names all." for name in unheard
    ]
    if results:
        write_tables(root, results, rows, notes, reference)
        baseline = bases.get(reference)
        score_picture(results, rows, baseline, root / "table.png")
        table = columns(rows, reference)
        table.pop("seconds")  # in table.md; a terminal is narrow
        shown = Table(*table, title=f"Study {root.name}", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for cells in zip(*table.values(), strict=True):
            shown.add_row(*cells)
        console.print(shown)
    for line in notes:
        console.print(line, soft_wrap=True)
    for trial in planned:
        if trial.searches and not any(one.run in trial.runs for one in failures):
            _print_places(console, trial)
    places = f"Table {root / 'table.md'}, trainings {root / 'results.csv'}, " if results else ""
    console.print(f"\n{places}all runs {root / 'runs.csv'}", soft_wrap=True)


def _print_places(console: Console, trial: Trial) -> None:
    """Print where the files of a derived cell are."""
    found = trial.genotype.parent
    searched = [run for run in trial.searches if run.kind == "search"][-1].outcome
    places: list[tuple[str, Path]] = [
        ("genotype", trial.genotype),
        ("its picture", found / "genotype.png"),
        ("search log", searched.folder / "metrics.csv"),
    ]
    if trial.evaluations:
        trained = trial.evaluations[0].folder
        places.append(("training log", trained / "metrics.csv"))
        places.append(("checkpoint", trained / "checkpoints" / "last.ckpt"))
    console.print(f"\n{trial.method}, seed {trial.seed}")
    for name, path in places:
        console.print(f"  {name:<13} {path}", soft_wrap=True)
