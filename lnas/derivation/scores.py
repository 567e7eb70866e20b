"""scores.json: what a genotype was derived from, for a later search to narrow its choice.

`decisions.json` beside it has the decisions of criteria that decide edge by edge.
P-DARTS (Chen et al., "Progressive DARTS", ICCV 2019, arXiv:1904.12760, section 3.1) searches in
stages, each of which keeps the best operations of every edge of the one before.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from torch import Tensor

from lnas.derivation.criteria import Decision
from lnas.errors import InputError
from lnas.files import write_text
from lnas.spaces import SearchSpace

FILE = "scores.json"
DECISIONS = "decisions.json"


def save_scores(path: Path, space: SearchSpace, scores: Mapping[str, Tensor]) -> None:
    """Write scores, (edges, ops) per cell type, with the names of their rows and columns.

    What is out of question, -inf, is written as null.
    """
    tables = {
        name: [[None if math.isinf(value) else value for value in row] for row in table.tolist()]
        for name, table in scores.items()
    }
    content = {
        "space": space.name,
        "edges": [edge.name for edge in space.edges],
        "operations": list(space.operations),
        "scores": tables,
    }
    write_text(path, json.dumps(content) + "\n")


def save_decisions(path: Path, decisions: Sequence[Decision]) -> None:
    """Write decisions in their order, one a line."""
    lines = ",\n".join(json.dumps(asdict(decision)) for decision in decisions)
    write_text(path, f"[{lines}]\n")


def best_operations(path: Path, keep: int) -> dict[str, dict[str, list[str]]]:
    """Return the `keep` best operations of each edge, as `DartsSpace(edge_operations=...)` takes.

    They stand in the order of the columns; of equal ones the first are kept; an edge that has fewer
    keeps what it has.

    Raises:
        InputError: The file cannot be read or holds no scores.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {
            name: {
                edge: _best(row, content["operations"], keep)
                for edge, row in zip(content["edges"], table, strict=True)
            }
            for name, table in content["scores"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} holds no scores of a search ({error}); remove its folder and search again."
        ) from error


def _best(row: list[float | None], operations: list[str], keep: int) -> list[str]:
    ranked = sorted(
        (-score, column) for column, score in enumerate(row) if score is not None
    )  # equal scores: the lower column first
    return [operations[column] for column in sorted(column for _, column in ranked[:keep])]
