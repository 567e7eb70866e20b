"""Which runs a report is about, and what they are called in it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lnas.errors import InputError
from lnas.report.run_files import RunFiles, is_run, read_run
from lnas.studies.plan import slug
from lnas.studies.study import LOCK
from lnas.studies.table import Scores, StudyTable, read_methods, read_scores, read_table

APART = ("seed", "run", "genotype")  # settings that runs of one method differ in
NAMED = 3  # runs that a title names
MARKS = (LOCK, "runs.csv", "table.csv")  # what only a study puts into its folder


@dataclass(frozen=True)
class Subject:
    """What a report is about.

    Args:
        title: Its name.
        runs: The runs, in their order.
        trials: For each run, the name of what it is shown and hidden with: itself, or in a study
            its method and seed.
        methods: For each run, the name that runs share whose spread is of interest.
        table: The table of a study; None without one.
        scores: What every training of a study gave; None without any.
        is_study: Whether it is a study.
    """

    title: str
    runs: tuple[RunFiles, ...]
    trials: tuple[str, ...]
    methods: tuple[str, ...]
    table: StudyTable | None = None
    scores: Scores | None = None
    is_study: bool = False


def subject_of(folders: Sequence[Path]) -> Subject:
    """Read the runs, or the one study.

    Raises:
        InputError: A folder is neither, or a study stands beside others.
    """
    studies = [folder for folder in folders if not is_run(folder) and is_study(folder)]
    if studies and len(folders) > 1:
        raise InputError(
            f"{studies[0]} is a study, and a report is of one study or of runs; give it alone."
        )
    if studies:
        return _study(studies[0])
    for folder in folders:
        if not is_run(folder):
            raise InputError(
                f"{folder} is neither the folder of a run nor of a study; give one that `lnas "
                "search`, `lnas evaluate` or `lnas study` has printed."
            )
    different = dict.fromkeys(folder.resolve() for folder in folders)
    names = _short_names(list(different))
    runs = [read_run(folder, name) for folder, name in zip(different, names, strict=True)]
    title = ", ".join(names) if len(names) <= NAMED else f"{len(names)} runs"
    return Subject(title, tuple(runs), tuple(names), tuple(_alike(runs)))


def is_study(folder: Path) -> bool:
    """Whether a folder is one of a study."""
    return folder.is_dir() and any((folder / mark).is_file() for mark in MARKS)


def _study(root: Path) -> Subject:
    """Return the runs of a study in the order of its table."""
    table = read_table(root)
    order = list(dict.fromkeys([*(table.methods if table else ()), *read_methods(root)]))
    known = {slug(name): name for name in order}
    found = []
    for folder in sorted(path for path in root.glob("*/*") if path.is_dir() and is_run(path)):
        named = re.fullmatch(r"(.+?)-(\d+)", folder.parent.name)
        stem, seed = (str(named[1]), str(named[2])) if named else (folder.parent.name, "")
        method = known.get(stem, stem)
        place = order.index(method) if method in order else len(order)
        trial = f"{method}, seed {seed}" if seed else method
        trained = folder.name.startswith("evaluate")  # comes after what found its cell
        found.append((place, method, int(seed or 0), trial, trained, folder))
    found.sort()
    trials = tuple(trial for *_, trial, _, _ in found)
    runs = [
        read_run(folder, f"{trial}: {folder.name}")
        for trial, (*_, folder) in zip(trials, found, strict=True)
    ]
    methods = tuple(f"{one[1]}: {one[-1].name.split('.')[0]}" for one in found)
    name = root.resolve().name
    return Subject(name, tuple(runs), trials, methods, table, read_scores(root), is_study=True)


def _short_names(folders: Sequence[Path]) -> list[str]:
    """Return the ends of the paths that tell them apart."""
    depth = 1
    while True:
        names = ["/".join(folder.parts[-depth:]).lstrip("/") for folder in folders]
        if len(set(names)) == len(names):
            return names
        depth += 1


def _alike(runs: Sequence[RunFiles]) -> list[str]:
    """Give runs one name whose settings differ in nothing but seed, folder and cell."""
    first: dict[str, str] = {}
    names = []
    for run in runs:
        own = {key: run.config[key] for key in sorted(run.config) if key not in APART}
        names.append(first.setdefault(f"{run.kind} {own!r}", run.name))
    return names
