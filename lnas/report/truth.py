"""What the table of NAS-Bench-201 knows of the cells of a report, epoch by epoch and at the end.

It is looked up when everything has ended, and told to nobody but the reader.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from lnas.benchmarks import NasBench201Benchmark
from lnas.benchmarks.table import DATASETS, locate
from lnas.errors import InputError
from lnas.genotype import Genotype
from lnas.report.curves import MAIN, Curve, Place
from lnas.report.run_files import RunFiles

NAMES = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "imagenet16": "ImageNet16-120"}
SPACE = "nasbench201"


@dataclass(frozen=True)
class Truth:
    """The true test accuracies of one cell.

    Args:
        run: Name of the run.
        accuracies: In percent, a text for each data set.
        regrets: How far below the best cell of the benchmark, in points.
    """

    run: str
    accuracies: tuple[str, ...]
    regrets: tuple[str, ...]


@dataclass(frozen=True)
class TruthTable:
    """The true accuracies of all cells that were derived, and what they are to be compared with."""

    datasets: tuple[str, ...]
    cells: tuple[Truth, ...]
    best: tuple[str, ...]
    random: tuple[str, ...]


def benchmark_of(runs: Sequence[RunFiles]) -> NasBench201Benchmark | None:
    """Return the benchmark if a cell is one of its space and its table is on this machine."""
    if not any(_searched(run) for run in runs):
        return None
    try:
        return NasBench201Benchmark(locate(None))
    except InputError:
        return None


def is_asked(runs: Sequence[RunFiles]) -> bool:
    """Whether the benchmark could know a cell."""
    return any(_searched(run) for run in runs)


def true_curve(run: RunFiles, benchmark: NasBench201Benchmark) -> Curve | None:
    """Return the true accuracy on CIFAR-10 of each epoch's cell; None without several epochs."""
    if "search/true_accuracy" in run.results or not _searched(run):
        return None  # it was logged
    found = [(epoch, _accuracy(benchmark, cell, "cifar10")) for epoch, cell in run.trail]
    known = [(float(epoch + 1), value) for epoch, value in found if value is not None]
    if len(known) < 2:
        return None
    place = Place(MAIN, "True accuracy of the epoch’s cell", "benchmark", percent=True)
    return Curve(place, tuple(x for x, _ in known), tuple(y for _, y in known))


def truth_table(runs: Sequence[RunFiles], benchmark: NasBench201Benchmark) -> TruthTable | None:
    """Return the true accuracies of what the searches have derived; None without any."""
    statistics = {name: benchmark.statistics(name) for name in DATASETS}
    cells = []
    for run in runs:
        genotype = final_genotype(run)
        if run.kind != "search" or genotype is None or genotype.space != SPACE:
            continue
        values = [_accuracy(benchmark, genotype, name) for name in DATASETS]
        pairs = list(zip(values, statistics.values(), strict=True))
        cells.append(
            Truth(
                run.name,
                tuple("" if value is None else f"{value:.2%}" for value in values),
                tuple("" if v is None else f"{100 * (s.best - v):.2f}" for v, s in pairs),
            )
        )
    if not cells:
        return None
    return TruthTable(
        tuple(NAMES[name] for name in DATASETS),
        tuple(cells),
        tuple(f"{one.best:.2%}" for one in statistics.values()),
        tuple(f"{100 * one.mean:.2f} ± {100 * one.std:.2f} %" for one in statistics.values()),
    )


def final_genotype(run: RunFiles) -> Genotype | None:
    """Return what a run derived, or would have at its last epoch."""
    if run.genotype is not None:
        return run.genotype
    return run.trail[-1][1] if run.trail else None


def _searched(run: RunFiles) -> bool:
    genotype = final_genotype(run)
    return run.kind == "search" and genotype is not None and genotype.space == SPACE


def _accuracy(benchmark: NasBench201Benchmark, genotype: Genotype, dataset: str) -> float | None:
    try:
        return benchmark.query(genotype, dataset).test_accuracy
    except InputError:  # an operation of somebody's own
        return None
