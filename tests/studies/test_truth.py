"""A study with a truth: searched, derived by several criteria, and looked up."""

import csv
import itertools
from pathlib import Path

import numpy as np
import pytest
import yaml

from lnas.benchmarks.table import DATASETS, NAMES, write_table
from lnas.cli.main import main
from lnas.errors import InputError
from lnas.genotype import Genotype
from lnas.spaces import DartsSpace, EveryEdge, NasBench201Space
from lnas.studies.truth import derivable

FAKE = {
    "data": "lnas.data.FakeImages",
    "data.images": 48,
    "data.shape": [3, 8, 8],
    "data.batch_size": 8,
    "trainer.max_epochs": 1,
    "trainer.logger": False,
    "trainer.callbacks": ["lnas.callbacks.DeriveGenotype"],
    "model.supernet.init_args.channels": 2,
    "model.supernet.init_args.cells": 1,
}
STUDY = {
    "name": "truth",
    "truth": "nasbench201",
    "truth_dataset": "cifar100",
    "seeds": [5, 6],
    "jobs": 2,
    "threads": 1,
    "reference": "DARTS, magnitude",
    "variants": [
        {
            "name": "DARTS",
            "search": {
                "configs": ["darts_nasbench201"],
                "options": FAKE | {"model.space.operations": list(NAMES[1:])},
            },
            "criteria": {
                "magnitude": "lnas.derivation.Magnitude",
                "random": {"class_path": "lnas.derivation.RandomChoice", "init_args": {"seed": 7}},
            },
        }
    ],
}


def true_accuracy(ops):
    """Return a made-up truth in percent, different for every cell and data set."""
    return 10 + 60 * sum(op * 5**place for place, op in enumerate(ops)) / 5**6


@pytest.fixture
def whole_table(tmp_path, monkeypatch):
    """A table of all 15,625 cells with made-up numbers."""
    cells = np.array(list(itertools.product(range(5), repeat=6)), dtype=np.uint8)
    columns = {"ops": cells}
    for number, (prefix, suffix) in enumerate(DATASETS.values()):
        accuracies = np.array([true_accuracy(ops) + number for ops in cells.tolist()])
        columns[f"{prefix}_test_200"] = accuracies.astype(np.float32)
        columns[f"params_{suffix}"] = cells.sum(axis=1) + 1000
        columns[f"flops_{suffix}"] = cells.sum(axis=1) + 90_000
    write_table(tmp_path / "data" / "nasbench201", columns)
    monkeypatch.setenv("LNAS_DATA", str(tmp_path / "data"))
    return columns


def test_a_study_with_a_truth_looks_its_cells_up(whole_table, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("study.yaml").write_text(yaml.safe_dump(STUDY))
    assert main(["study", "--config", "study.yaml"]) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    root = Path("runs/truth")
    with (root / "results.csv").open() as file:
        results = list(csv.DictReader(file))
    assert [(row["method"], row["seed"]) for row in results] == [
        ("DARTS, magnitude", "5"), ("DARTS, random", "5"),
        ("DARTS, magnitude", "6"), ("DARTS, random", "6"),
    ]  # fmt: skip
    for row in results:
        found = Genotype.load(Path(row["folder"]) / "genotype.json")
        assert found.hash == row["genotype"]
        carried = {(node, source): name for node, source, name in found.edges("cell")}
        edges = ((1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2))
        ops = [NAMES.index(carried[edge]) for edge in edges]  # no edge is without an operation
        assert float(row["accuracy"]) == pytest.approx((true_accuracy(ops) + 1) / 100, abs=1e-6)
        assert int(row["parameters"]) == sum(ops) + 1000
        assert float(row["search_seconds"]) > 0
        assert row["training_seconds"] == ""
    # The search is the same one, and what it derives by itself is what Magnitude derives.
    for seed in (5, 6):
        own = Genotype.load(root / f"darts-{seed}/search/genotype.json")
        assert own == Genotype.load(root / f"darts-{seed}/derive-magnitude/genotype.json")
    with (root / "table.csv").open() as file:
        table = {row["method"]: row for row in csv.DictReader(file)}
    assert list(table) == ["DARTS, magnitude", "DARTS, random", "random choice of 4 operations"]
    exact = table["random choice of 4 operations"]
    inside = whole_table["c100_test_200"][(whole_table["ops"] > 0).all(axis=1)].astype(float) / 100
    assert int(exact["searches"]) == 4096
    assert float(exact["accuracy"]) == pytest.approx(inside.mean())
    assert float(exact["std_search"]) == pytest.approx(inside.std())
    mine = table["DARTS, random"]
    improvement = float(mine["accuracy"]) / inside.mean() - 1
    assert float(mine["improvement"]) == pytest.approx(improvement)
    assert mine["pairs"] == "2"
    assert "points over random choice of 4 operations" in said
    assert not list(root.rglob("evaluate*"))


def test_without_its_table_a_study_does_not_begin(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LNAS_DATA", raising=False)
    Path("study.yaml").write_text(yaml.safe_dump(STUDY))
    assert main(["study", "--config", "study.yaml"]) == 2
    assert "LNAS_DATA" in capsys.readouterr().err
    assert not Path("runs").exists()


def test_the_rule_counts_among_what_can_be_derived():
    assert derivable(NasBench201Space()) == NAMES
    assert derivable(NasBench201Space(rule=EveryEdge(exclude=["none"]))) == NAMES[1:]
    with pytest.raises(InputError, match="searches darts"):
        derivable(DartsSpace())
