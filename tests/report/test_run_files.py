"""What a folder tells of its run, whole or damaged."""

import json
import shutil

import numpy as np
import pytest

from lnas.genotype import Genotype
from lnas.report.run_files import is_run, read_run
from lnas.spaces import DartsSpace


def test_a_search_is_read_whole(made):
    run = read_run(made.images, "images")
    assert (run.kind, run.epochs, run.notes) == ("search", 4, ())
    assert isinstance(run.space, DartsSpace)
    assert [epoch for epoch, _ in run.trail] == [epoch for epoch, _ in run.gates] == [0, 1, 2, 3]
    assert run.trail[-1][1] == run.genotype
    assert run.gates[0][1]["normal"].shape == (len(run.space.edges), len(run.space.operations))
    line = json.loads((made.images / "gates.jsonl").read_text().splitlines()[2])
    np.testing.assert_array_equal(run.gates[2][1]["reduce"], line["gates"]["reduce"])
    assert run.results["search/final_supernet_loss"] > 0
    assert run.measure.name == "accuracy"


def test_an_evaluation_and_a_language_search_are_known(made):
    trained, text = read_run(made.trained, "trained"), read_run(made.text, "text")
    assert (trained.kind, trained.epochs, trained.gates, trained.trail) == ("evaluation", 2, (), ())
    assert trained.genotype == Genotype.load(made.images / "genotype.json")
    assert (text.kind, text.measure.name) == ("search", "perplexity")
    assert list(text.gates[0][1]) == ["recurrent"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("gates.jsonl", '{"epoch": 0, "gates": {"normal": 3}}\n'),
        ("gates.jsonl", "no JSON\n"),
        ("genotypes.jsonl", '{"epoch": 0, "genotype": {"space": "<script>"}}\n'),
        ("metrics.csv", "search/step,search/epoch\n1,one\n"),
        ("genotype.json", "{}"),
        ("genotypes.jsonl", "[]\n"),
    ],
)
def test_what_is_damaged_is_left_out_and_named(made, tmp_path, name, text):
    folder = shutil.copytree(made.images, tmp_path / "run")
    (folder / name).write_text(text)
    run = read_run(folder, "run")
    assert run.notes == (f"{name} cannot be read and is left out.",)
    assert run.kind == "search"


def test_a_half_written_line_and_missing_files_are_no_damage(made, tmp_path):
    folder = shutil.copytree(made.images, tmp_path / "run")
    with (folder / "gates.jsonl").open("a") as file:
        file.write('{"epoch": 4, "ga')
    (folder / "genotypes.jsonl").unlink()
    (folder / "run_card.json").unlink()
    run = read_run(folder, "run")
    assert (run.notes, len(run.gates), run.trail, run.card) == ((), 4, (), {})
    assert isinstance(run.space, DartsSpace)  # of config.yaml


def test_a_space_of_somebody_else_is_not_imported(made, tmp_path):
    folder = shutil.copytree(made.images, tmp_path / "run")
    card = json.loads((folder / "run_card.json").read_text())
    card["config"]["model"]["space"] = {"class_path": "antigravity.Space"}
    (folder / "run_card.json").write_text(json.dumps(card))
    run = read_run(folder, "run")
    assert run.space is None
    assert len(run.gates) == 4


def test_any_other_folder_is_no_run(tmp_path, made):
    assert not is_run(tmp_path)
    assert is_run(made.images)
