"""Effective settings side by side: which of them differ between runs, and all of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from lnas.report.redaction import without_places
from lnas.report.run_files import RunFiles
from lnas.runs.folder import flat

ABSENT = "–"
PLACES = ("run.folder", "run.overwrite", "run.allow_changes", "genotype")  # differ in every run


@dataclass(frozen=True)
class Difference:
    """A setting that is not the same in all runs.

    Args:
        name: Its dotted name.
        values: Its text in each run.
    """

    name: str
    values: tuple[str, ...]


def differing(runs: Sequence[RunFiles]) -> list[Difference]:
    """Return the settings that differ between runs, by name; those of places are left out."""
    tables = [flat(without_places(run.config)) if run.config else {} for run in runs]
    names = sorted({name for table in tables for name in table} - set(PLACES))
    found = []
    for name in names:
        values = tuple(_text(table.get(name, ABSENT)) for table in tables)
        if len(set(values)) > 1:
            found.append(Difference(name, values))
    return found


def effective(run: RunFiles) -> str:
    """Return all settings of a run as YAML; "" when it has none."""
    if not run.config:
        return ""
    return yaml.safe_dump(without_places(run.config), sort_keys=False, allow_unicode=True)


def _text(value: Any) -> str:
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
