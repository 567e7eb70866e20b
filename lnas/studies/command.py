"""`lnas study`: reads a study's file, runs it, writes its tables, and tells where everything is."""

from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from lnas.runs.command_line import RunParser
from lnas.runs.shipped import expand_configs
from lnas.studies.picture import accuracy_picture
from lnas.studies.plan import RANDOM, Study, Trial, trials
from lnas.studies.progress import StudyProgress
from lnas.studies.study import run_study
from lnas.studies.table import COLUMNS, Result, margin, summarise, write_tables


def study_command(arguments: Sequence[str]) -> int:
    """Run the study that the options describe and return the exit code.

    Raises:
        InputError: The study's file or an option of one of its runs is wrong.
    """
    expanded, _ = expand_configs(arguments, ("study",))
    parser = RunParser(prog="lnas study")
    parser.add_argument("-c", "--config", action="config", help="the study's file or name")
    parser.add_class_arguments(Study)
    parsed = parser.parse_args(expanded)
    del parsed.config
    study = Study(**vars(parser.instantiate(parsed)))
    if study.threads is not None:
        torch.set_num_threads(study.threads)
    console = Console(highlight=False)
    planned = list(trials(study))
    runs = sum(1 if trial.search is None else 2 for trial in planned)
    progress = StudyProgress(console, runs)
    with progress.shown():
        results = run_study(study, progress)
    margins = margins_of(results)
    write_tables(study.root, results, margins)
    accuracy_picture(results, study.root / "table.png")
    print_report(console, study.root, planned, results, margins)
    return 0


def margins_of(results: Sequence[Result]) -> list[str]:
    """Return one line per method about its distance to the random cells; none without those."""
    rows = {row.method: row for row in summarise(results)}
    baseline = rows.pop(RANDOM, None)
    return [] if baseline is None else [margin(row, baseline) for row in rows.values()]


def print_report(
    console: Console,
    root: Path,
    planned: Sequence[Trial],
    results: Sequence[Result],
    margins: Sequence[str],
) -> None:
    """Print the table, the margins, and where the files of the derived cells are."""
    table = Table(*COLUMNS, title=f"Study {root.name}")
    for row in summarise(results):
        table.add_row(*row.texts())
    console.print(table)
    for line in margins:
        console.print(line)
    for trial in planned:
        if trial.search is None:
            continue
        found = trial.folder / "search"
        trained = trial.folder / "evaluate"
        console.print(f"\n{trial.method}, seed {trial.seed}")
        for name, path in (
            ("genotype", trial.genotype),
            ("its picture", found / "genotype.png"),
            ("search log", found / "metrics.csv"),
            ("training log", trained / "metrics.csv"),
            ("checkpoint", trained / "checkpoints" / "last.ckpt"),
        ):
            console.print(f"  {name:<13} {path}", soft_wrap=True)
    console.print(f"\nTable {root / 'table.md'}, all runs {root / 'results.csv'}", soft_wrap=True)
