"""NAS-Bench-201: the accuracy of every cell of a space of 15,625, by Dong and Yang, ICLR 2020.

arXiv:2001.00326; the table holds means over the seeds of the topology part of NATS-Bench
(arXiv:2009.00437). Accuracies are fractions in [0, 1] here, as everywhere in lnas, though the table
has percent. Isomorphic cells compute the same function: a cell that is not in the table is answered
by a member of its class that is. A complete table answers each cell by its own row, since the
classes were partly trained more than once and differ in their costs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from lnas.benchmarks.table import DATASETS, NAMES, locate, read_latency, read_table
from lnas.errors import InputError
from lnas.genotype import Genotype

EDGES = ((1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2))  # (node, source)
Operations = tuple[int, ...]


@dataclass(frozen=True)
class BenchmarkRecord:
    """What the benchmark knows of one cell on one data set.

    Args:
        dataset: Name of the data set.
        row: Row of the table.
        genotype: The cell of that row; another one than asked for if only an isomorphic cell is
            tabulated.
        test_accuracy: In [0, 1], after 200 epochs, mean over seeds.
        validation_accuracy: In [0, 1], after 12 epochs; None when the table has none. On CIFAR-10
            the network was trained on half of the training images, the other half validates.
        parameters: Number of parameters.
        multiply_adds: Multiply-adds of one image as the benchmark counts them: with the additions
            of the classifier's bias, one per class, which `lnas.costs` leaves out.
        latency: Milliseconds by device.
    """

    dataset: str
    row: int
    genotype: Genotype
    test_accuracy: float
    validation_accuracy: float | None
    parameters: int
    multiply_adds: int
    latency: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class SpaceStatistics:
    """Exact numbers over a set of cells, each of which random choice draws equally often.

    Args:
        cells: How many cells.
        mean: Mean test accuracy in [0, 1].
        std: Standard deviation over the cells (of the whole set, not of a sample).
        best: Largest test accuracy.
        parameters: Mean number of parameters.
        multiply_adds: Mean number of multiply-adds.
    """

    cells: int
    mean: float
    std: float
    best: float
    parameters: float
    multiply_adds: float


@final
class NasBench201Benchmark:
    """The table in memory.

    Args:
        root: Folder of the table, or one with a folder `nasbench201`; None takes the environment
            variable LNAS_DATA. `lnas.benchmarks.table` describes the format.

    Raises:
        InputError: There is no table, or it is damaged.
    """

    def __init__(self, root: str | Path | None = None) -> None:
        self.folder = locate(root)
        self._columns = read_table(self.folder)
        self._latency = read_latency(self.folder, len(self))
        self._rows = {tuple(ops): row for row, ops in enumerate(self._columns["ops"].tolist())}

    def __len__(self) -> int:
        """Return the number of cells."""
        return len(self._columns["ops"])

    def query(self, genotype: Genotype, dataset: str = "cifar10") -> BenchmarkRecord:
        """Return what is known of a cell.

        Args:
            genotype: A cell of the NAS-Bench-201 space.
            dataset: "cifar10", "cifar100" or "imagenet16".

        Raises:
            InputError: The cell is of another space or not in the table, or there is no such data
                set.
        """
        row = self._row(genotype)
        accuracies, costs = _names_of(dataset)
        validation = self._columns.get(f"{accuracies}_val_12")
        return BenchmarkRecord(
            dataset,
            row,
            self.genotype(row),
            _fraction(self._columns[f"{accuracies}_test_200"][row]),
            None if validation is None else _fraction(validation[row]),
            int(self._columns[f"params_{costs}"][row]),
            int(self._columns[f"flops_{costs}"][row]),
            {device: float(values[row]) for device, values in self._latency.items()},
        )

    def genotype(self, row: int) -> Genotype:
        """Return the cell of a row."""
        nodes: list[list[tuple[str, int]]] = [[], [], []]
        for (node, source), number in zip(EDGES, self._columns["ops"][row], strict=True):
            if NAMES[number] != "none":
                nodes[node - 1].append((NAMES[number], source))
        return Genotype("nasbench201", {"cell": nodes})

    def statistics(
        self, dataset: str = "cifar10", operations: Sequence[str] = NAMES
    ) -> SpaceStatistics:
        """Return exact numbers over all cells that use these operations only.

        Args:
            dataset: "cifar10", "cifar100" or "imagenet16".
            operations: What an edge may carry; without "none" there are 4,096 cells.

        Raises:
            InputError: An operation or the data set is unknown, or there is no such cell.
        """
        chosen = self._within(operations)
        accuracies, costs = _names_of(dataset)
        values = self._columns[f"{accuracies}_test_200"][chosen].astype(np.float64) / 100
        return SpaceStatistics(
            int(chosen.sum()),
            float(values.mean()),
            float(values.std()),
            float(values.max()),
            float(self._columns[f"params_{costs}"][chosen].mean()),
            float(self._columns[f"flops_{costs}"][chosen].mean()),
        )

    def _within(self, operations: Sequence[str]) -> NDArray[np.bool_]:
        unknown = [name for name in operations if name not in NAMES]
        if unknown:
            raise InputError(
                f"Operation {unknown[0]!r} is not in the benchmark; use {', '.join(NAMES)}."
            )
        numbers = [NAMES.index(name) for name in operations]
        chosen = np.asarray(np.isin(self._columns["ops"], numbers).all(axis=1))
        if not chosen.any():
            raise InputError(f"No cell of the table uses {', '.join(operations)} only.")
        return chosen

    def _row(self, genotype: Genotype) -> int:
        if genotype.space != "nasbench201":
            raise InputError(
                f"The benchmark knows cells of the space nasbench201, not of {genotype.space}."
            )
        carried = operations_of(genotype)
        if carried is not None and carried in self._rows:
            return self._rows[carried]
        row = None if carried is None else self._classes.get(genotype.canonical().hash)
        if row is None:
            raise InputError(
                f"The cell {genotype.to_text()} is not in the table of {len(self):,} cells, nor is "
                f"an isomorphic one; cells have the operations {', '.join(NAMES)}."
            )
        return row

    @cached_property
    def _classes(self) -> dict[str, int]:
        """The first row of each class of isomorphic cells, by the hash of its representative."""
        rows: dict[str, int] = {}
        for row in range(len(self)):
            rows.setdefault(self.genotype(row).canonical().hash, row)
        return rows


def operations_of(genotype: Genotype) -> Operations | None:
    """Return the number of the operation on each edge; None if the benchmark does not have one."""
    carried: dict[tuple[int, int], Any] = dict.fromkeys(EDGES, "none")
    for node, source, name in genotype.edges("cell"):
        if name not in NAMES:
            return None
        carried[node, source] = name
    return tuple(NAMES.index(name) for name in carried.values())


def _fraction(percent: Any) -> float:
    """Return percent as a fraction, without the noise of single precision."""
    return round(float(percent) / 100, 6)


def _names_of(dataset: str) -> tuple[str, str]:
    if dataset not in DATASETS:
        raise InputError(f"No data set {dataset!r} in the benchmark; use {', '.join(DATASETS)}.")
    return DATASETS[dataset]
