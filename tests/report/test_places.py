"""Which runs a report is about, what they are called, what it passes on of them."""

import shutil

import pytest

from lnas.errors import InputError
from lnas.report.overview import line_of, spreads_of
from lnas.report.places import subject_of
from lnas.report.redaction import without_places
from lnas.report.settings import differing, effective
from lnas.studies.table import Scores, read_scores, read_table


def test_runs_that_differ_in_their_seed_alone_are_one_method(made):
    subject = subject_of([made.images, made.again, made.nasbench])
    assert [run.name for run in subject.runs] == ["images", "again", "nasbench"]
    assert subject.methods == ("images", "images", "nasbench")
    (spread,) = spreads_of(subject.runs, subject.methods)
    assert spread.count == 2
    values = [run.results["search/final_supernet_accuracy"] for run in subject.runs[:2]]
    mean = 100 * sum(values) / 2
    std = 100 * abs(values[0] - values[1]) / 2**0.5
    assert spread.results[0] == f"{mean:.2f} ± {std:.2f} %"
    assert [one.name for one in differing(subject.runs[:2])] == ["seed"]


def test_equal_names_are_told_apart_by_their_folders(tmp_path):
    for name in ("a/run", "b/run"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.yaml").write_text("seed: 1\n")
    subject = subject_of([tmp_path / "a/run", tmp_path / "b/run"])
    assert [run.name for run in subject.runs] == ["a/run", "b/run"]
    assert line_of(subject.runs[0]).status == "no run card"


def test_a_study_has_its_table_and_its_runs_in_the_order_of_it(small_study):
    subject = subject_of([small_study])
    assert subject.is_study
    assert subject.table == read_table(small_study)
    assert subject.table.methods == ["DARTS-PRIME", "random cells"]
    assert subject.table.rows[0][2] == "60.00 ± 14.14 %"
    assert subject.table.notes[0] == "a note below the table"
    assert subject.trials == (
        "DARTS-PRIME, seed 1", "DARTS-PRIME, seed 1", "DARTS-PRIME, seed 2", "random cells, seed 1",
    )  # fmt: skip
    assert subject.methods[0] == subject.methods[2] == "DARTS-PRIME: search"
    values = (("DARTS-PRIME", 0.5), ("DARTS-PRIME", 0.7), ("random cells", 0.4))
    assert read_scores(small_study) == Scores("accuracy", values)


def test_a_name_with_a_bar_stays_one_cell(tmp_path):
    (tmp_path / "table.md").write_text("| method | n |\n| --- | --- |\n| a | b | 3 |\n\nnote\n")
    table = read_table(tmp_path)
    assert table.rows == (("a | b", "3"),)
    assert table.notes == ("note",)


def test_a_study_that_only_searches_is_named_by_its_runs(small_study, tmp_path):
    study = shutil.copytree(small_study, tmp_path / "study")
    for name in ("table.md", "table.csv", "results.csv"):
        (study / name).unlink()
    (study / "runs.csv").write_text("method,seed\nDARTS-PRIME,1\nDARTS-PRIME,2\n")
    subject = subject_of([study])
    assert (subject.table, subject.scores) == (None, None)
    assert subject.trials[0] == "DARTS-PRIME, seed 1"


def test_folders_that_are_neither_are_refused(tmp_path, small_study, made):
    with pytest.raises(InputError, match="neither the folder of a run nor of a study"):
        subject_of([tmp_path])
    with pytest.raises(InputError, match="is a study, and a report is of one study or of runs"):
        subject_of([made.images, small_study])


def test_paths_of_the_machine_and_secrets_stay_behind(made):
    given = {
        "root": "/home/me/data/cifar10", "api_key": "abc", "url": "https://arxiv.org/abs/1806.09055",
        "relative": "runs/first/genotype.json", "said": "Cannot write /mnt/a b/c: full", "lr": 0.1,
        "short": "/data", "spaces": "/home/my name/runs/", "rate": "3/4 and/or 1 / 2",
        "list": ["/a/b/c.yaml"], "windows": "C:\\Users\\me\\x",
    }  # fmt: skip
    found = without_places(given)
    assert found["root"] == "…/cifar10"
    assert found["api_key"] == "(left out)"
    assert found["url"] == given["url"]
    assert found["relative"] == given["relative"]
    assert found["list"] == ["…/c.yaml"]
    assert found["windows"] == "…/x"
    assert found["short"] == "…/data"
    assert found["spaces"] == "…/runs"
    assert found["rate"] == given["rate"]
    assert found["lr"] == 0.1
    assert "/mnt" not in found["said"]
    text = effective(subject_of([made.trained]).runs[0])
    assert "class_path" in text
    assert str(made.root) not in text
