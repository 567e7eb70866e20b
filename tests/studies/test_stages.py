"""Stages that go on where the one before was stopped, with other settings, until none is."""

import json
from pathlib import Path

import pytest
import torch
import yaml

from lnas.cli.main import main
from lnas.errors import InputError
from lnas.loggers import read_rows
from lnas.runs.fork import fork
from lnas.studies.graph import Run
from lnas.studies.state import is_finished

DECAYS = (1e-4, 2e-4, 4e-4, 8e-4)
# An architecture that never moves: the ranking is stable in the second epoch that sees it.
SEARCH = {
    "data": "lnas.data.FakeImages",
    "data.images": 48,
    "data.shape": [3, 8, 8],
    "data.batch_size": 8,
    "trainer.max_epochs": 5,
    "trainer.logger": False,
    "trainer.callbacks": [
        {"class_path": "lnas.callbacks.StableRankingStop", "init_args": {"epochs": 1}},
        {"class_path": "lnas.callbacks.DeriveGenotype"},
    ],
    "model.architecture_optimizer.init_args.lr": 0.0,
    "model.supernet.init_args.channels": 2,
    "model.supernet.init_args.cells": 1,
}
STUDY = {
    "name": "stages",
    "random": 0,
    "threads": 1,
    "variants": [
        {
            "name": "ada",
            "search": {"configs": ["darts_nasbench201"], "options": SEARCH},
            "stages": [
                {
                    "go_on": number > 0,
                    "options": {"model.weight_optimizer.init_args.weight_decay": decay},
                }
                for number, decay in enumerate(DECAYS)
            ],
        }
    ],
    "evaluation": {
        "configs": ["digits"],
        "options": {name: SEARCH[name] for name in SEARCH if name.startswith("data")}
        | {
            "trainer.max_epochs": 1,
            "trainer.logger": False,
            "model.network": "lnas.networks.NasBench201Network",
            "model.network.init_args.cells": 1,
            "model.network.init_args.channels": 2,
        },
    },
}


def card(folder):
    return json.loads((folder / "run_card.json").read_text())


def epoch_rows(folder):
    """Return what was logged in epochs, without what is logged of the derived cell at the end."""
    return [row for row in read_rows(folder / "metrics.csv") if "search/epoch" in row]


def test_stages_go_on_from_each_stop_until_one_reaches_its_end(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("study.yaml").write_text(yaml.safe_dump(STUDY))
    assert main(["study", "--config", "study.yaml"]) == 0, capsys.readouterr().err
    home = Path("runs/stages/ada-0")
    stops = {1: True, 2: True, 3: False}
    for number, stopped in stops.items():
        folder = home / f"search-{number}"
        assert ("stopped" in card(folder)) is stopped
        epochs = [row["search/epoch"] for row in epoch_rows(folder)]
        assert sorted(set(epochs)) == list(range(min(2 * number, 5)))
        checkpoint = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
        weights, architecture = checkpoint["optimizer_states"]
        assert weights["param_groups"][0]["weight_decay"] == DECAYS[number - 1]
        assert architecture["param_groups"][0]["weight_decay"] == 1e-3
    # What was logged before a stop stands in the logs of the stages behind it.
    rows = [epoch_rows(home / f"search-{number}") for number in stops]
    assert rows[1][: len(rows[0])] == rows[0]
    assert rows[2][: len(rows[1])] == rows[1]
    # The third one was not stopped: nothing is left to do for the fourth.
    assert not (home / "search-4").exists()
    settings = yaml.safe_load((home / "evaluate/config.yaml").read_text())
    assert settings["genotype"] == str(home / "search-3/genotype.json")
    said = capsys.readouterr().out
    assert "search-3/genotype.json" in said
    assert "search-3/metrics.csv" in said

    seconds = card(home / "search-3")["wall_time_seconds"]
    assert f"| {seconds:,.0f} + " in Path("runs/stages/table.md").read_text()
    before = {path: path.stat().st_mtime_ns for path in home.rglob("*") if path.is_file()}
    assert main(["study", "--config", "study.yaml"]) == 0, capsys.readouterr().err
    assert before == {p: p.stat().st_mtime_ns for p in home.rglob("*") if p.is_file()}


def test_a_stage_without_a_stop_before_it_stands_for_nothing(tmp_path):
    def written(name, **content):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "run_card.json").write_text(json.dumps(content))
        return folder

    first = Run("search", "1", written("a", status="finished"), 0, ())
    second = Run("search", "2", tmp_path / "b", 0, (), after=first, go_on=True)
    third = Run("search", "3", tmp_path / "c", 0, (), after=second, go_on=True)
    trained = Run("evaluate", "4", tmp_path / "d", 0, (), after=third)
    assert [run.is_void for run in (first, second, third)] == [False, True, True]
    assert trained.genotype == tmp_path / "a/genotype.json"
    written("b", status="running")
    stopped = Run("search", "1", written("e", status="finished", stopped="why"), 0, ())
    under_way = Run("search", "2", tmp_path / "b", 0, (), after=stopped, go_on=True)
    assert not under_way.is_void
    assert not is_finished(under_way)


def test_a_search_without_a_checkpoint_cannot_be_forked(tmp_path):
    with pytest.raises(InputError, match="no checkpoint"):
        fork(tmp_path / "none", tmp_path / "new", {"model": {}})
    assert not (tmp_path / "new").exists()
