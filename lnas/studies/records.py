"""What the runs of a study found and logged, as two small tables that a notebook reads.

| file | a row for | columns besides method, seed and run |
|---|---|---|
| `runs.csv` | each finished run | hashes of settings and cell, the cell, its size, results |
| `signals.csv` | each of its epochs | the last value in that epoch of each of the study's signals |

`run` is the name of the run's folder: "search", "evaluate", ... Nothing in the tables depends on a
clock or a path, so that a study that is repeated writes the same bytes.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from jsonargparse import ArgumentParser
from lightning.pytorch import LightningDataModule

from lnas.callbacks.run_card import config_hash
from lnas.costs import Cost, network_cost
from lnas.files import write_text
from lnas.genotype import Genotype
from lnas.loggers import MetricsCsv, read_rows
from lnas.networks import Network
from lnas.runs.folder import read_card
from lnas.runs.training import settings_of
from lnas.studies.decided import gate_records
from lnas.studies.graph import Run, Trial
from lnas.studies.plan import Options, Study
from lnas.studies.state import is_finished, stated_hash

AXES = ("search/epoch", "eval/epoch")
SKIP = "skip_connect"
WITHOUT_PARAMETERS = ("none", SKIP, "avg_pool_3x3", "max_pool_3x3", "noise")


def write_records(study: Study, planned: Sequence[Trial]) -> list[str]:
    """Write `runs.csv`, and `signals.csv` if the study names signals, into the study's folder.

    Returns:
        The signals that no run has logged.
    """
    count = None if study.evaluation is None else cell_counter(study.evaluation)
    rows, epochs = [], []
    for trial in planned:
        for run in trial.runs:
            if run.is_void or not is_finished(run):
                continue
            name = {"method": trial.method, "seed": trial.seed, "run": run.folder.name}
            rows.append(name | run_record(trial, run, count))
            epochs += [name | one for one in epoch_records(run, study.signals)]
    _write(rows, study.root / "runs.csv")
    if study.signals:
        _write(epochs, study.root / "signals.csv")
    return [name for name in study.signals if rows and not any(name in one for one in epochs)]


def run_record(
    trial: Trial, run: Run, count: Callable[[Genotype], Cost] | None
) -> dict[str, str | float]:
    """Return what the card of a finished run says, and what there is to say of its cell.

    `stated_hash` is of what the study states, `config_hash` of all settings, as in the run's card.
    The cell's `skips` and `depth` are the skip connections of all cell types together, and the most
    parameterised operations in a row in any. For what begins with `gate_` see
    `lnas.studies.decided`.

    Args:
        trial: What the run belongs to.
        run: The run.
        count: Counts the network of a cell; None leaves its size out.
    """
    card = read_card(run.folder)
    home = trial.genotype if run.kind == "evaluate" else run.folder / "genotype.json"
    genotype = Genotype.load(home)
    # An evaluation's settings say where its cell lies; what the cell is, says its own hash.
    settings = {name: value for name, value in card["config"].items() if name != "genotype"}
    found: dict[str, Any] = {
        "stated_hash": stated_hash(run),
        "config_hash": config_hash(settings),
        "genotype_hash": card["genotype_hash"],
        "genotype": json.dumps(json.loads(genotype.to_json())),
        "skips": sum(
            operation == SKIP for kind in genotype.cells for *_, operation in genotype.edges(kind)
        ),
        "depth": max(depth(genotype, kind) for kind in genotype.cells),
    }
    if count is not None:
        cost = count(genotype)
        found |= {"parameters": cost.parameters, "multiply_adds": cost.multiply_adds}
    results: dict[str, float] = card["results"]
    return found | gate_records(home.parent, genotype) | results


def depth(genotype: Genotype, kind: str) -> int:
    """Return the largest number of parameterised operations on a way through a cell."""
    longest: dict[int, int] = {}
    for node, source, operation in sorted(genotype.edges(kind)):
        if operation != "none":
            step = operation not in WITHOUT_PARAMETERS
            longest[node] = max(longest.get(node, 0), longest.get(source, 0) + step)
    return max(longest.values(), default=0)


def epoch_records(run: Run, signals: Sequence[str]) -> list[dict[str, float]]:
    """Return the signals epoch by epoch, the last value in each; epochs without any are left out.

    A row that is behind the last epoch, as the validation of the child, belongs to none.
    """
    path = run.folder / MetricsCsv.FILE
    epochs: dict[int, dict[str, float]] = {}
    for row in read_rows(path) if signals and path.is_file() else []:
        place = next((int(row[axis]) for axis in AXES if axis in row), None)
        found = {name: row[name] for name in signals if name in row}
        if place is not None and found:
            epochs.setdefault(place, {}).update(found)
    return [{"epoch": place, **epochs[place]} for place in sorted(epochs)]


def cell_counter(evaluation: Options) -> Callable[[Genotype], Cost]:
    """Return what counts the network that an evaluation would train."""
    settings = settings_of("evaluate", evaluation.arguments())
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(LightningDataModule, "data")
    parser.add_argument("--network", type=Callable[[Genotype], Network])
    given = {"data": settings["data"], "network": settings["model"]["network"]}
    made = parser.instantiate(parser.parse_object(given))

    def count(genotype: Genotype) -> Cost:
        examples = made.data.examples
        return network_cost(examples.build(made.network, genotype), examples)

    return count


def _write(rows: Sequence[dict[str, Any]], path: Path) -> None:
    write_text(path, pd.DataFrame(rows).to_csv(index=False, lineterminator="\n"))
