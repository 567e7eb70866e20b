"""What a run has left in its folder, read for people: anything may be missing or damaged.

A report never imports what a run's settings name; the three spaces that are shipped are known by
their names, and the tables of gates of any other space go without names.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from lnas.callbacks import ArchitecturePictures, GenotypeTrail, WiringDiagnostics
from lnas.errors import InputError
from lnas.genotype import Genotype
from lnas.loggers import JsonLines, MetricsCsv, read_rows
from lnas.runs.folder import CARD, CONFIG, read_card, read_settings
from lnas.spaces import DartsSpace, NasBench201Space, RecurrentSpace, SearchSpace, zoo
from lnas.tasks import ACCURACY, Measure

Row = dict[str, float]
T = TypeVar("T")
Gates = dict[str, NDArray[np.float64]]
SPACES: dict[str, Callable[..., SearchSpace]] = {
    f"lnas.spaces.{kind.__name__}": kind for kind in (DartsSpace, NasBench201Space, RecurrentSpace)
}
CELL = "genotype.json"
SHAPING = ("operations", "nodes", "edge_operations")  # the arguments that edges and columns hang on


@dataclass(frozen=True)
class RunFiles:
    """A run as its folder tells it.

    Args:
        name: What the report calls it.
        kind: What the run did.
        card: Its run card; empty without one.
        config: Its effective settings; empty without any.
        rows: What it logged, in order.
        trail: (epoch, genotype) of each epoch, as far as it was kept.
        gates: (epoch, gates (edges, ops) per cell type) of each epoch, the same.
        genotype: What it derived, or trained; None when it has not, or the cell is not found.
        space: What was searched; None when it is no shipped space.
        notes: What could not be read, a line each.
    """

    name: str
    kind: Literal["search", "evaluation"]
    card: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    rows: tuple[Row, ...] = ()
    trail: tuple[tuple[int, Genotype], ...] = ()
    gates: tuple[tuple[int, Gates], ...] = ()
    genotype: Genotype | None = None
    space: SearchSpace | None = None
    notes: tuple[str, ...] = ()

    @property
    def measure(self) -> Measure:
        """What its networks are compared by."""
        try:
            return Measure(**self.card["measure"])
        except (KeyError, TypeError):
            return ACCURACY

    @property
    def results(self) -> Mapping[str, float]:
        """The last value of each logged number."""
        values: Row = {}
        for row in self.rows:
            values |= row
        return values or _numbers(self.card.get("results"))

    @property
    def epochs(self) -> int:
        """How many epochs have left anything."""
        seen = [epoch for epoch, _ in (*self.trail, *self.gates)]
        named = (row.get("search/epoch", row.get("eval/epoch")) for row in self.rows)
        return 1 + int(max([*seen, *(epoch for epoch in named if epoch is not None)], default=-1))


def is_run(folder: Path) -> bool:
    """Whether a folder is one of a run."""
    return (folder / CONFIG).is_file() or (folder / CARD).is_file()


def read_run(folder: Path, name: str) -> RunFiles:
    """Read what there is; what is damaged is left out and noted."""
    notes: list[str] = []
    card = read_card(folder)
    config = card.get("config")
    nothing: dict[str, Any] = {}
    if not isinstance(config, dict):
        config = _tried(notes, lambda: read_settings(folder), nothing, CONFIG)
    model = config.get("model")
    model = model if isinstance(model, dict) else {}
    metrics, derived = folder / MetricsCsv.FILE, folder / CELL
    cell: Genotype | None = None
    if derived.is_file():
        cell = _tried(notes, lambda: Genotype.load(derived), cell, CELL)
    rows: list[Row] = []
    if metrics.is_file():
        rows = _tried(notes, lambda: read_rows(metrics), rows, metrics.name)
    searched = "space" in model or (not model and not any("eval/step" in row for row in rows))
    return RunFiles(
        name,
        "search" if searched else "evaluation",
        card,
        config,
        tuple(rows),
        tuple(_tried(notes, lambda: _trail(folder), [], GenotypeTrail.FILE)),
        tuple(_tried(notes, lambda: _gates(folder), [], ArchitecturePictures.FILE)),
        cell if cell is not None or searched else _trained(folder, card, config),
        _space(model.get("space")),
        tuple(notes),
    )


def _trained(folder: Path, card: Mapping[str, Any], config: Mapping[str, Any]) -> Genotype | None:
    """Return the cell that an evaluation trains, if it still lies where it was."""
    for place in (folder.parent / CELL, config.get("genotype")):
        try:
            found = zoo.find(str(place)) if place else None
        except InputError:
            continue
        if found is not None and found.hash == card.get("genotype_hash"):
            return found
    return None


def _tried(notes: list[str], read: Callable[[], T], instead: T, name: str) -> T:
    try:
        return read()
    except (InputError, ValueError, KeyError, TypeError, AttributeError):
        notes.append(f"{name} cannot be read and is left out.")
        return instead


def _trail(folder: Path) -> list[tuple[int, Genotype]]:
    return [
        (int(line["epoch"]), Genotype.from_json(json.dumps(line["genotype"])))
        for line in _lines(folder / GenotypeTrail.FILE)
    ]


def _gates(folder: Path) -> list[tuple[int, Gates]]:
    """Return the gates of each epoch, or those that the diagnostics of wiring have noted."""
    found = [(line, line["gates"]) for line in _lines(folder / ArchitecturePictures.FILE)]
    if not found:
        for line in _lines(folder / WiringDiagnostics.FILE):
            found.append((line, {kind: one["gates"] for kind, one in line["cells"].items()}))
    gates = [
        (int(line["epoch"]), {kind: np.array(t, dtype=np.float64) for kind, t in tables.items()})
        for line, tables in found
    ]
    shapes = {tuple((kind, table.shape) for kind, table in sorted(one.items())) for _, one in gates}
    if len(shapes) > 1 or any(len(shape) != 2 for one in shapes for _, shape in one):
        raise ValueError("the tables have different shapes")
    return gates


def _lines(path: Path) -> list[Any]:
    return JsonLines(path).read() if path.is_file() else []


def _space(stated: Any) -> SearchSpace | None:
    """Return the space that settings describe, if it is a shipped one."""
    if not isinstance(stated, dict) or stated.get("class_path") not in SPACES:
        return None
    given = stated.get("init_args") or {}
    try:
        return SPACES[stated["class_path"]](
            **{key: given[key] for key in SHAPING if given.get(key) is not None}
        )
    except (InputError, TypeError, AttributeError, ValueError):
        return None


def _numbers(found: Any) -> Row:
    pairs = found.items() if isinstance(found, dict) else ()
    return {str(key): value for key, value in pairs if isinstance(value, (int, float))}
