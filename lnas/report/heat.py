"""Gates over time as strips of colour: one byte for each gate, as text that a page can carry."""

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lnas.report.curves import evenly
from lnas.report.run_files import Gates, RunFiles
from lnas.visualize.layout import edge_label
from lnas.visualize.palette import TITLES

STEPS = 255


def heat_of(run: RunFiles, most: int) -> dict[str, Any] | None:
    """Return the strips of a run as plain data; None when it has no gates.

    Per cell type `gates` is base64 of bytes (epochs, edges, ops) from `low` to `high`, one scale
    for the whole run: who is decided is seen at once. What is no number is `low`.

    Args:
        run: The run.
        most: Most epochs to keep; more are evenly thinned.
    """
    if not run.gates or most < 1:
        return None
    history = [run.gates[index] for index in evenly(len(run.gates), most)]
    tables = {kind: np.stack([gates[kind] for _, gates in history]) for kind in history[0][1]}
    low = min(float(np.nanmin(table)) for table in tables.values())
    high = max(float(np.nanmax(table)) for table in tables.values())
    return {
        "epochs": [epoch + 1 for epoch, _ in history],
        "low": low,
        "high": high,
        "operations": operations_of(run, history[0][1]),
        "cells": [
            {
                "title": TITLES.get(kind, "cell"),
                "edges": edges_of(run, table.shape[1]),
                "gates": _packed(table, low, high),
            }
            for kind, table in tables.items()
        ],
    }


def operations_of(run: RunFiles, gates: Gates) -> list[str]:
    """Return the names of the columns; of a space that is not known, their numbers."""
    columns = next(iter(gates.values())).shape[1]
    names = () if run.space is None else run.space.operations
    return list(names) if len(names) == columns else [f"operation_{i}" for i in range(columns)]


def edges_of(run: RunFiles, rows: int) -> list[str]:
    """Return the names of the rows: from where to where."""
    space = run.space
    if space is None or len(space.edges) != rows:
        return [f"edge {row}" for row in range(rows)]
    ends = [(edge.source, edge.target) for edge in space.edges]
    return [plain(edge_label(space.name, space.inputs, *edge)) for edge in ends]


def plain(name: str) -> str:
    """Return a name in mathematical signs as plain text: `$c_{k-2}$` is "c(k−2)"."""
    text = name.replace("$", "").replace("\\,", " ").replace("_{", "(").replace("}", ")")
    return text.replace("_t", "(t)").replace("-", "−")


def _packed(table: NDArray[np.float64], low: float, high: float) -> str:
    scaled = (np.nan_to_num(table, nan=low) - low) / ((high - low) or 1.0)
    steps = np.rint(scaled * STEPS).clip(0, STEPS).astype(np.uint8)
    return base64.b64encode(steps.tobytes()).decode()
