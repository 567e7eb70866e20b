"""The tables that notebooks read, from run folders that are written by hand."""

import csv
import json
from pathlib import Path

import pytest

from lnas.callbacks.run_card import config_hash
from lnas.costs import network_cost
from lnas.genotype import Genotype
from lnas.networks import NasBench201Network
from lnas.studies.graph import Run, Trial
from lnas.studies.plan import Options, Study, Variant
from lnas.studies.records import cell_counter, depth, epoch_records, write_records
from lnas.studies.state import stated_hash
from lnas.tasks import ImageExamples

CHAIN = "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|none~0|avg_pool_3x3~1|nor_conv_3x3~2|"
SIZE = {
    "data": "lnas.data.FakeImages",
    "data.shape": [1, 8, 8],
    "model.network": "lnas.networks.NasBench201Network",
    "model.network.init_args.cells": 1,
    "model.network.init_args.channels": 2,
}


def finished(folder, text, **results):
    """Write what a finished search leaves, and return its trial."""
    genotype = Genotype.from_text(text)
    genotype.save(folder / "genotype.json")
    card = {"status": "finished", "config": {"x": 1}, "config_hash": config_hash({"x": 1})}
    card |= {"genotype_hash": genotype.hash, "results": results, "wall_time_seconds": 3.0}
    (folder / "run_card.json").write_text(json.dumps(card))
    run = Run("search", "title", folder, 5, ())
    return Trial("a", 5, (run,), ())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (CHAIN, 3),
        ("|none~0|+|none~0|nor_conv_3x3~1|+|nor_conv_1x1~0|none~1|none~2|", 1),
        ("|nor_conv_3x3~0|+|nor_conv_3x3~0|none~1|+|skip_connect~0|none~1|skip_connect~2|", 1),
        ("|skip_connect~0|+|avg_pool_3x3~0|none~1|+|none~0|none~1|none~2|", 0),
    ],
)  # fmt: skip
def test_depth_is_the_longest_way_in_parameterised_operations(text, expected):
    assert depth(Genotype.from_text(text), "cell") == expected


def test_depth_of_a_published_cell():
    # x0 -> 2 -> 5 of DARTS v2's normal cell: a separable and a dilated convolution.
    from lnas.spaces.zoo import load

    assert depth(load("darts_v2"), "normal") == 2


def test_a_cell_is_counted_as_the_evaluation_would_build_it():
    genotype = Genotype.from_text(CHAIN)
    network = NasBench201Network(genotype, channels=2, cells=1, image_channels=1)
    counted = cell_counter(Options(["digits"], SIZE))(genotype)
    assert counted == network_cost(network, ImageExamples(10, (1, 8, 8)))
    assert counted.parameters > 0 < counted.multiply_adds


def test_an_epoch_has_the_last_value_of_each_signal(tmp_path):
    (tmp_path / "metrics.csv").write_text(
        "search/epoch,search/step,a,b,c\n0,1,1.5,,7\n0,2,2.5,4,\n0,2,,,8\n1,3,,,9\n2,4,3.5,,\n,4,9,,\n"
    )
    run = Run("search", "title", tmp_path, 5, ())
    assert epoch_records(run, ["a", "b"]) == [
        {"epoch": 0, "a": 2.5, "b": 4},
        {"epoch": 2, "a": 3.5},
    ]
    assert epoch_records(run, []) == []


def test_the_tables_have_a_row_for_each_run_and_each_epoch(tmp_path):
    folder = tmp_path / "a-5" / "search"
    folder.mkdir(parents=True)
    trial = finished(folder, CHAIN, **{"search/final_child_accuracy": 0.1 + 0.2})
    (folder / "metrics.csv").write_text("search/epoch,s\n0,0.1\n1,0.30000000000000004\n")
    waits = Run("search", "title", tmp_path / "a-6" / "search", 6, ())
    other = Trial("a", 6, (waits,), ())
    study = Study(
        "s", [Variant("a", Options())], Options(["digits"], SIZE),
        retrainings=0, signals=["s"], folder=str(tmp_path),
    )  # fmt: skip
    write_records(study, [trial, other])
    (row,) = rows_of(tmp_path / "runs.csv")
    assert {
        "method": "a",
        "seed": "5",
        "run": "search",
        "skips": "1",
        "depth": "3",
    }.items() <= row.items()
    assert row["genotype_hash"] == Genotype.from_text(CHAIN).hash
    assert row["config_hash"] == config_hash({"x": 1})
    assert row["stated_hash"] == stated_hash(trial.runs[0])
    assert float(row["search/final_child_accuracy"]) == 0.1 + 0.2
    assert Genotype.from_json(row["genotype"]).hash == row["genotype_hash"]
    first, second = rows_of(tmp_path / "signals.csv")
    assert (first["epoch"], second["epoch"], second["s"]) == ("0", "1", "0.30000000000000004")
    before = (tmp_path / "runs.csv").read_bytes()
    card = json.loads((folder / "run_card.json").read_text())
    (folder / "run_card.json").write_text(json.dumps(card | {"wall_time_seconds": 99.0}))
    write_records(study, [trial, other])
    assert (tmp_path / "runs.csv").read_bytes() == before


def rows_of(path: Path):
    with path.open() as file:
        return list(csv.DictReader(file))
