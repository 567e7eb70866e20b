"""A small study from its file to its table; what is finished is not repeated."""

import csv
import json
import statistics
from pathlib import Path

import pytest
import yaml

from lnas.cli.main import main
from lnas.genotype import Genotype
from lnas.spaces import NasBench201Space
from lnas.studies import study as studies

FAKE = {
    "data": "lnas.data.FakeImages",
    "data.images": 48,
    "data.shape": [3, 8, 8],
    "data.batch_size": 8,
    "trainer.max_epochs": 1,
    "trainer.logger": False,
}
STUDY = {
    "name": "small",
    "seeds": [1, 2],
    "random": 2,
    "variants": [
        {
            "name": name,
            "search": {
                "configs": ["darts_nasbench201"],
                "options": {
                    **FAKE,
                    "model.supernet.init_args.channels": 2,
                    "model.supernet.init_args.cells": 1,
                    "model.strategy.init_args.order": order,
                },
            },
        }
        for name, order in (("a", "weights_first"), ("b", "architecture_first"))
    ],
    "evaluation": {
        "configs": ["digits"],
        "options": {
            **FAKE,
            "model.network": "lnas.networks.NasBench201Network",
            "model.network.init_args.cells": 1,
            "model.network.init_args.channels": 2,
        },
    },
}


@pytest.fixture
def study_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("study.yaml").write_text(yaml.safe_dump(STUDY))
    return ["study", "--config", "study.yaml"]


def test_a_study_fills_its_table_and_does_not_repeat_what_is_finished(
    study_file, capsys, monkeypatch
):
    assert main(study_file) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    root = Path("runs/small")
    with (root / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["method"], row["seed"]) for row in rows] == [
        ("a", "1"), ("b", "1"), ("a", "2"), ("b", "2"),
        ("random cells", "1"), ("random cells", "2"),
    ]  # fmt: skip
    for row in rows:
        card = json.loads((Path(row["folder"]) / "run_card.json").read_text())
        assert float(row["accuracy"]) == card["results"]["eval/test_accuracy"]
        assert row["genotype"] == card["genotype_hash"]
        found = Genotype.load(Path(row["folder"]).parent / "genotype.json") if (
            row["method"] == "random cells"
        ) else Genotype.load(Path(row["folder"]).parent / "search/genotype.json")  # fmt: skip
        NasBench201Space().validate(found)
        assert found.hash == row["genotype"]
    mean = 100 * statistics.fmean(float(row["accuracy"]) for row in rows if row["method"] == "a")
    assert f"| a | 2 | {mean:.2f}" in (root / "table.md").read_text()
    assert (root / "table.png").read_bytes().startswith(b"\x89PNG")
    for shown in ("genotype.json", "genotype.png", "metrics.csv", "last.ckpt", "random cells"):
        assert shown in said

    before = {path: path.stat().st_mtime_ns for path in root.rglob("*.ckpt")}
    (root / "random-cells-1/evaluate/run_card.json").unlink()  # this one counts as unfinished
    ran = []
    monkeypatch.setattr(studies, "search", lambda *given: ran.append(given))
    evaluate = studies.evaluate
    monkeypatch.setattr(studies, "evaluate", lambda *given: ran.append(given) or evaluate(*given))
    assert main(study_file) == 0, capsys.readouterr().err
    assert len(ran) == 1
    assert "--resume=runs/small/random-cells-1/evaluate" in ran[0][0]
    after = {path: path.stat().st_mtime_ns for path in root.rglob("*.ckpt")}
    assert {path for path in after if "random-cells-1" not in str(path)} == {
        path for path in before if before[path] == after[path] and "random-cells-1" not in str(path)
    }

    # Runs with other settings are not mixed in.
    capsys.readouterr()
    changed = [*study_file, '--evaluation.options={"trainer.max_epochs": 2}']
    assert main(changed) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "--overwrite" in said


def test_a_wrong_option_of_a_late_run_is_found_before_the_first_one(study_file, capsys):
    STUDY_TEXT = Path("study.yaml").read_text().replace("cells: 1", "cels: 1")
    Path("study.yaml").write_text(STUDY_TEXT)
    assert main(study_file) == 2
    assert "cells" in capsys.readouterr().err
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
