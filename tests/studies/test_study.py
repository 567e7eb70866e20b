"""A small study from its file to its table, as the command line runs it."""

import csv
import json
import statistics
from pathlib import Path

import pytest
import yaml

from lnas.cli.main import main
from lnas.genotype import Genotype
from lnas.networks import NasBench201Network
from lnas.spaces import NasBench201Space
from lnas.studies.graph import runs_of, trials
from lnas.studies.plan import Options, Study, Variant
from lnas.studies.state import effective_settings, settings_of

FAKE = {
    "data": "lnas.data.FakeImages",
    "data.images": 48,
    "data.shape": [3, 8, 8],
    "data.batch_size": 8,
    "trainer.max_epochs": 1,
    "trainer.logger": False,
}
SEARCH = {
    "configs": ["darts_nasbench201"],
    "options": {
        **FAKE,
        "trainer.callbacks": ["lnas.callbacks.DeriveGenotype"],
        "model.supernet.init_args.channels": 2,
        "model.supernet.init_args.cells": 1,
    },
}
EVALUATION = {
    "configs": ["digits"],
    "options": {
        **FAKE,
        "model.network": "lnas.networks.NasBench201Network",
        "model.network.init_args.cells": 1,
        "model.network.init_args.channels": 2,
    },
}
STUDY = {
    "name": "small",
    "seeds": [1],
    "random": 1,
    "retrainings": 2,
    "jobs": 2,
    "threads": 1,
    "variants": [
        {
            "name": "a",
            "search": SEARCH,
            "criteria": {"random": {"class_path": "lnas.derivation.RandomChoice"}},
        },
        {
            "name": "b",
            "search": {
                **SEARCH,
                "options": SEARCH["options"] | {"model.strategy.order": "architecture_first"},
            },
        },
    ],
    "evaluation": EVALUATION,
}


@pytest.fixture
def study_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("study.yaml").write_text(yaml.safe_dump(STUDY))
    return ["study", "--config", "study.yaml"]


def rows_of(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_a_study_fills_its_table_and_does_not_repeat_what_is_finished(study_file, capsys):
    assert main(study_file) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    root = Path("runs/small")
    rows = rows_of(root / "results.csv")
    assert [(row["method"], row["seed"], row["training"]) for row in rows] == [
        (method, seed, training)
        for method, seed in (("a, random", "1"), ("b", "1"), ("random cells", "1"))
        for training in ("1", "2")
    ]  # fmt: skip
    for row in rows:
        card = json.loads((Path(row["folder"]) / "run_card.json").read_text())
        assert float(row["accuracy"]) == card["results"]["eval/test_accuracy"]
        assert card["seed"] == int(row["seed"]) + 1000 * (int(row["training"]) - 1)
        home = {"a, random": "derive-random", "b": "search", "random cells": "."}[row["method"]]
        found = Genotype.load(Path(row["folder"]).parent / home / "genotype.json")
        NasBench201Space().validate(found)
        assert found.hash == row["genotype"] == card["genotype_hash"]
    mean = statistics.fmean(float(row["accuracy"]) for row in rows[:2])
    assert f"| a, random | 1 | {100 * mean:.2f} % | ± " in (root / "table.md").read_text()
    assert (root / "table.png").read_bytes().startswith(b"\x89PNG")
    for shown in ("genotype.json", "genotype.png", "metrics.csv", "last.ckpt", "random cells"):
        assert shown in said

    before = {path: path.stat().st_mtime_ns for path in root.rglob("*.json")}
    again = root / "random-cells-1/evaluate"
    (again / "run_card.json").unlink()  # this one counts as unfinished
    assert main(study_file) == 0, capsys.readouterr().err
    after = {path: path.stat().st_mtime_ns for path in root.rglob("*.json")}
    changed = {path for path in after if before.get(path) != after[path]}
    assert changed == {again / "run_card.json", again.parent / "genotype.json"}
    seconds = ("search_seconds", "training_seconds")
    assert [{k: v for k, v in row.items() if k not in seconds} for row in rows] == [
        {k: v for k, v in row.items() if k not in seconds} for row in rows_of(root / "results.csv")
    ]

    # Runs with other settings are not mixed in, and nor is the training of another cell.
    capsys.readouterr()
    changed = [*study_file, '--evaluation.options={"trainer.max_epochs": 2}']
    for given, name in ((changed, "data.class_path"), (study_file, "genotype: ")):
        assert main(given) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert name in said
        assert "--overwrite" in said
        other = Genotype.from_text("|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|")
        other.save(root / "b-1/search/genotype.json")
        card = json.loads((root / "b-1/search/run_card.json").read_text())
        card["genotype_hash"] = other.hash
        (root / "b-1/search/run_card.json").write_text(json.dumps(card))


def test_a_study_without_trainings_searches_and_counts(study_file, capsys):
    names = ["arch/cell/entropy", "search/step", "search/foo"]  # and no `random=0`: none is trained
    changes = ["--retrainings=0", f"--signals={json.dumps(names)}"]
    assert main([*study_file, *changes]) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    assert "runs.csv" in said
    assert "No run has logged the signal search/foo;" in said
    assert "step;" not in said
    root = Path("runs/small")
    assert not list(root.glob("*/evaluate*"))
    assert not (root / "table.md").exists()
    rows = rows_of(root / "runs.csv")
    assert [(row["method"], row["run"]) for row in rows] == [
        ("a, random", "search"), ("a, random", "derive-random"), ("b", "search"),
    ]  # fmt: skip
    for row, name in zip(rows, ("a-1/search", "a-1/derive-random", "b-1/search"), strict=True):
        genotype = Genotype.load(root / name / "genotype.json")
        network = NasBench201Network(genotype, channels=2, cells=1)
        assert int(row["parameters"]) == sum(one.numel() for one in network.parameters())
        card = json.loads((root / name / "run_card.json").read_text())
        assert row["config_hash"] == card["config_hash"]
    (epoch,) = [row for row in rows_of(root / "signals.csv") if row["method"] == "b"]
    assert float(epoch["arch/cell/entropy"]) == card["results"]["arch/cell/entropy"]


def test_settings_that_are_read_once_are_those_of_every_command(tmp_path):
    study = Study(
        "s", [Variant("b", Options(**SEARCH))], Options(**EVALUATION),
        seeds=[3, 4], retrainings=2, folder=str(tmp_path),
    )  # fmt: skip
    runs = runs_of(list(trials(study)))
    assert len({run.seed for run in runs}) > 3
    for run in runs:
        assert effective_settings(run) == settings_of(run.command, run.arguments())


def test_a_wrong_option_of_a_late_run_is_found_before_the_first_one(study_file, capsys):
    text = Path("study.yaml").read_text()
    for wrong in (
        text.replace("cells: 1", "cels: 1"),
        text.replace("derivation.RandomChoice", "derivation.RandomChoise"),
    ):
        Path("study.yaml").write_text(wrong)
        assert main(study_file) == 2
        said = capsys.readouterr().err
        assert "cells" in said or "RandomChoice" in said
        assert said.count("\n") == 1
        assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--seedz=[1]", "--seeds"),
        ("--random=-1", "random=-1"),
        ("--config=quickstat", "quickstart"),
    ],
)
def test_a_wrong_option_of_a_study_is_one_line(study_file, capsys, option, said):
    assert main([*study_file, option]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
