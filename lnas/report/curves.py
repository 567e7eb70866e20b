"""Logged numbers as curves: which stand in one panel, and how far to the right a row belongs.

The axis counts epochs that have ended; a row within an epoch lies between two whole numbers.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from lnas.report.run_files import Row, RunFiles
from lnas.tasks import Measure
from lnas.visualize.palette import TITLES

MAIN, RATES, CELLS, OWN, TRAINING = (
    "Losses and results",
    "Learning rates and steps",
    "Architecture",
    "The method’s own signals",
    "Training from scratch",
)
SECTIONS = (MAIN, CELLS, OWN, RATES, TRAINING)
STREAMS = {
    "held_out": "supernet, held out",
    "child": "derived child, held out",
    "weights": "weights’ images",
    "architecture": "architecture’s images",
    "train": "training",
    "val": "validation",
}
# Not curves: places, results of the end, constants, and what the strips of gates show better.
LEFT_OUT = re.compile(
    r"(search|eval)/(epoch|step|parameters|multiply_adds|final_.*|test_.*)|arch/\w+/none_\w+"
)
ARCHITECTURE = {
    "entropy": "Entropy of an edge (nats)",
    "skip_share": "Share of skip connections",
    "skips": "Skip connections in the cell",
}
SEARCH = {
    "gap_loss": ("Discretisation gap: loss", ""),
    "true_accuracy": ("True accuracy of the epoch’s cell", "benchmark"),
    "regret": ("Regret of the epoch’s cell", "benchmark"),
    "architecture_steps": ("Steps of the architecture", ""),
}
DIGITS = 5


class Place(NamedTuple):
    """Where a logged number is shown.

    Args:
        section: Heading.
        panel: Title of the panel.
        series: What tells it from others in the panel.
        percent: Whether it is a share that people read in percent.
    """

    section: str
    panel: str
    series: str
    percent: bool = False


@dataclass(frozen=True)
class Curve:
    """One logged number of one run: `y` over epochs that have ended; NaN is a gap."""

    place: Place
    x: tuple[float, ...]
    y: tuple[float, ...]


def place_of(name: str, measure: Measure) -> Place | None:
    """Return where the number logged as `name` is shown; None when it is no curve."""
    if LEFT_OUT.fullmatch(name):
        return None
    scope, _, rest = name.partition("/")
    if scope == "arch":
        kind, _, what = rest.rpartition("/")
        title = ARCHITECTURE.get(what, _words(what))
        return Place(CELLS, title, TITLES.get(kind, kind), what == "skip_share")
    main = TRAINING if scope == "eval" else MAIN
    if scope not in ("search", "eval"):
        return Place(OWN, _words(name), "")
    if rest == f"gap_{measure.name}":
        title = f"Discretisation gap: {measure.name}"
        return Place(main, title, "child − supernet", measure.percent)
    if rest in SEARCH:
        title, series = SEARCH[rest]
        section = RATES if rest == "architecture_steps" else main
        return Place(section, title, series, series == "benchmark")
    for what in ("loss", measure.name):
        found = re.fullmatch(rf"(?:(?P<before>\w+)_)?{what}(?:_(?P<after>\w+))?", rest)
        stream = (found["before"] or found["after"]) if found else None
        if found and (stream is None or stream in STREAMS):
            series = "" if stream is None else STREAMS[stream]
            percent = what == measure.name and measure.percent
            return Place(main, what.capitalize(), series, percent)
    if found := re.fullmatch(r"lr(?:_(\w+))?", rest):
        return Place(TRAINING if scope == "eval" else RATES, _words(rest, "Learning rate"), "")
    if scope == "eval":
        return Place(TRAINING, _words(rest), "")
    base, stream = rest, ""
    for ending in ("weights", "architecture"):
        if rest.endswith(f"_{ending}"):
            base, stream = rest.removesuffix(f"_{ending}"), STREAMS[ending]
    return Place(OWN, _words(base), stream)


def curves_of(run: RunFiles) -> list[Curve]:
    """Return all curves of a run, in the order of the panels; single values are none."""
    axis = _axis(run.rows)
    found: dict[str, dict[float, float]] = {}
    for x, row in axis:
        for name, value in row.items():
            if isinstance(value, (int, float)):
                found.setdefault(name, {})[x] = float(value)  # of equal places the last stands
    curves = []
    for name, points in found.items():
        place = place_of(name, run.measure)
        finite = sum(math.isfinite(value) for value in points.values())
        if place is not None and len(points) > 1 and finite:
            xs = sorted(points)
            curves.append(Curve(place, tuple(xs), tuple(points[x] for x in xs)))
    return sorted(curves, key=lambda curve: SECTIONS.index(curve.place.section))


def thinned(curve: Curve, points: int) -> Curve:
    """Return at most `points` of the curve, evenly chosen, the first and the last among them."""
    kept = evenly(len(curve.x), points)
    return Curve(curve.place, tuple(curve.x[i] for i in kept), tuple(curve.y[i] for i in kept))


def evenly(count: int, most: int) -> Sequence[int]:
    """Return which of `count` places are kept when at most `most` are: the last, the first, ..."""
    if count <= most:
        return range(count)
    if most < 2:
        return [count - 1]
    return sorted({round(index * (count - 1) / (most - 1)) for index in range(most)})


def rounded(values: Iterable[float]) -> list[float | None]:
    """Return numbers with five digits; what JSON cannot hold is None."""
    return [float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None for value in values]


def _axis(rows: Sequence[Row]) -> list[tuple[float, Row]]:
    """Return each row with its place in epochs; rows without any belong to nothing."""
    found: list[tuple[float, Row]] = []
    for scope in ("search", "eval"):
        step, epoch = f"{scope}/step", f"{scope}/epoch"
        own = [row for row in rows if step in row]
        # As many steps as an epoch has: its last row stands at its end.
        each = max((row[step] / (row[epoch] + 1) for row in own if epoch in row), default=0.0)
        found += [(row[step] / each, row) for row in own if each]
    return found


def _words(name: str, instead: str = "") -> str:
    """Return a logged name as a title: `fisher_trace` is "Fisher trace"."""
    words = name.replace("_", " ").replace("/", ": ")
    if instead:
        rest = words.split(" ", 1)[1:]
        return instead + (f": {rest[0]}" if rest else "")
    return words[:1].upper() + words[1:]
