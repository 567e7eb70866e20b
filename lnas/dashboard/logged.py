"""What runs logged, read from their folders: it is what they sent, or will send, to W&B."""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from lnas.errors import InputError
from lnas.loggers import JsonLines, MetricsCsv, read_rows
from lnas.loggers.rows import step_of

# By name in the logs: the file's own, with the epoch where there is one of each.
PICTURES = {
    name: re.compile(rf"{name}(-\d{{4,}})?\.png")
    for name in ("genotype", "gates", "glance", "criteria", "strength")
}
GATES = "gates.jsonl"


@dataclass
class Logged:
    """Names in the logs of some runs.

    Args:
        points: Number of different steps, in the run that has most of them, by name.
        pictures: Names of pictures.
        histograms: Names of histograms.
    """

    points: dict[str, int] = field(default_factory=dict)
    pictures: set[str] = field(default_factory=set)
    histograms: set[str] = field(default_factory=set)


def logged_by(folders: Iterable[str | Path]) -> Logged:
    """Read what the runs in these folders logged.

    Raises:
        InputError: A folder is none of a run.
    """
    logged = Logged()
    for folder in map(Path, folders):
        if not (folder / MetricsCsv.FILE).is_file():
            raise InputError(
                f"{folder} is not the folder of a run: it has no {MetricsCsv.FILE}; give one."
            )
        steps: dict[str, set[int]] = defaultdict(set)
        for row in read_rows(folder / MetricsCsv.FILE):
            for name in row:
                steps[name].add(step_of(row))
        for name, found in steps.items():
            logged.points[name] = max(logged.points.get(name, 0), len(found))
        pictures = [*folder.glob("*.png"), *folder.glob("pictures/*.png")]
        for name, pattern in PICTURES.items():
            if any(pattern.fullmatch(picture.name) for picture in pictures):
                logged.pictures.add(name)
        if (folder / GATES).is_file():
            for line in JsonLines(folder / GATES).read():
                logged.histograms |= {f"arch/{kind}/gates" for kind in line["gates"]}
    return logged
