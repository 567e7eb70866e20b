"""How decided a search was when it ended, read from the files in its folder.

| name | what it is |
|---|---|
| `gate_best` | the best score of an edge, mean over edges |
| `gate_std` | standard deviation of all scores |
| `gate_distance` | Frobenius distance of the scores from the derived cell |
| `gate_open` | the sum of an edge's gates without noise, mean over edges: how many are open |

Scores are what the cell was derived from: under a softmax the gates, and `gate_distance` is what
DARTS-PRIME's proximity pulls down (Maile et al., arXiv:2106.11655, equation 8).
"""

import json
import math
from pathlib import Path
from statistics import fmean, stdev

from lnas.callbacks import ArchitecturePictures
from lnas.derivation.scores import FILE as SCORES
from lnas.genotype import Genotype


def gate_records(folder: Path, genotype: Genotype) -> dict[str, float]:
    """Return what the files of a finished search tell; nothing of a file that is not there.

    Args:
        folder: The folder of the search, or of a derivation from it.
        genotype: What was derived there.
    """
    return _scores(folder / SCORES, genotype) | _gates(folder / ArchitecturePictures.FILE)


def _scores(path: Path, genotype: Genotype) -> dict[str, float]:
    if not path.is_file():
        return {}
    content = json.loads(path.read_text(encoding="utf-8"))
    edges, chosen = [], []
    for kind, table in content["scores"].items():
        cell = {(f"{node}_{source}", name) for node, source, name in genotype.edges(kind)}
        for edge, row in zip(content["edges"], table, strict=True):
            names = [(edge, operation) for operation in content["operations"]]
            # What is closed is null: out of question for the cell, and a gate of 0.
            edges.append([value for value in row if value is not None])
            chosen += [
                (value or 0.0) - (name in cell) for name, value in zip(names, row, strict=True)
            ]
    return {
        "gate_best": fmean(max(edge) for edge in edges if edge),
        "gate_std": stdev(value for edge in edges for value in edge),
        "gate_distance": math.hypot(*chosen),
    }


def _gates(path: Path) -> dict[str, float]:
    if not path.is_file():
        return {}
    last = path.read_text(encoding="utf-8").splitlines()[-1]
    tables = json.loads(last)["gates"].values()
    return {"gate_open": fmean(sum(row) for table in tables for row in table)}
