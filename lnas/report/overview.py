"""The table of runs, and mean ± standard deviation of those that only chance tells apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from lnas.report.redaction import without_places
from lnas.report.run_files import RunFiles

ENDED = {"finished", "interrupted", "failed"}
# What a column shows, by the names under which it may stand, the better one first.
COLUMNS: dict[str, tuple[str, ...]] = {
    "supernet, held out": ("search/final_supernet_{}", "search/held_out_{}"),
    "child, held out": ("search/final_recalibrated_{}", "search/child_{}"),
    "true": ("search/true_accuracy",),
    "validation": ("eval/val_{}",),
    "test": ("eval/test_{}",),
}


@dataclass(frozen=True)
class Line:
    """A run in the table.

    Args:
        name: Its name.
        kind: What it did.
        status: How it ended, as a person says it.
        good: Whether it came to its end.
        seed: Its seed, "" if unknown.
        epochs: How many epochs it has logged, and of how many.
        seconds: Its wall time.
        cell: The beginning of its genotype's hash.
        results: A text for each column, "" without a value.
        remark: Why it stopped or failed, and what of it cannot be read.
    """

    name: str
    kind: str
    status: str
    good: bool
    seed: str
    epochs: str
    seconds: str
    cell: str
    results: tuple[str, ...]
    remark: str


@dataclass(frozen=True)
class Spread:
    """The mean and the sample standard deviation of each column over runs of one method."""

    name: str
    count: int
    results: tuple[str, ...]


def line_of(run: RunFiles) -> Line:
    """Return the line of a run."""
    card = run.card
    stated = str(card.get("status", "")) or "no run card"
    status = "not finished (running, or killed)" if stated == "running" else stated
    most = _get(run.config, "trainer", "max_epochs")
    epochs = f"{run.epochs}" + (f" of {most}" if isinstance(most, int) and most > 0 else "")
    if stated == "finished" and not run.epochs:
        epochs = ""  # it derived from another search, and trained nothing
    seconds = card.get("wall_time_seconds")
    genotype = str(card.get("genotype_hash") or (run.genotype.hash if run.genotype else ""))
    seed = card.get("seed", run.config.get("seed"))
    stopped = f"stopped early: {card['stopped']}" if card.get("stopped") else ""
    remarks = [stopped, str(card.get("message", "")), *run.notes]
    return Line(
        run.name,
        run.kind,
        status,
        stated == "finished",
        "" if seed is None else str(seed),
        epochs,
        duration(seconds) if isinstance(seconds, (int, float)) else "",
        genotype[:8],
        tuple(_result(run, names) for names in COLUMNS.values()),
        str(without_places(" ".join(filter(None, remarks)))),
    )


def spreads_of(runs: Sequence[RunFiles], methods: Sequence[str]) -> list[Spread]:
    """Return a line for each method with several runs that have results."""
    groups: dict[str, list[RunFiles]] = {}
    for run, method in zip(runs, methods, strict=True):
        groups.setdefault(method, []).append(run)
    found = []
    for method, group in groups.items():
        cells = [_spread(group, names) for names in COLUMNS.values()]
        if len(group) > 1 and any(cells):
            found.append(Spread(method, len(group), tuple(cells)))
    return found


def used_columns(lines: Sequence[Line]) -> list[int]:
    """Return the columns in which some run has a value."""
    return [i for i in range(len(COLUMNS)) if any(line.results[i] for line in lines)]


def duration(seconds: float) -> str:
    """Return a wall time as a person says it."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def _value(run: RunFiles, names: Sequence[str]) -> float | None:
    for name in names:
        value = run.results.get(name.format(run.measure.name))
        if value is not None:
            return float(value)
    return None


def _result(run: RunFiles, names: Sequence[str]) -> str:
    value = _value(run, names)
    return "" if value is None else run.measure.text(value)


def _spread(group: Sequence[RunFiles], names: Sequence[str]) -> str:
    values = [value for run in group if (value := _value(run, names)) is not None]
    measure = group[0].measure
    if not values or any(run.measure != measure for run in group):
        return ""
    scale = measure.scale
    std = f" ± {scale * stdev(values):.2f}" if len(values) > 1 else ""
    missing = f" ({len(values)} runs)" if len(values) < len(group) else ""
    return f"{scale * fmean(values):.2f}{std}{measure.unit}{missing}"


def _get(settings: Mapping[str, Any], *names: str) -> Any:
    found: Any = settings
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found
