"""The workspace of W&B: what is in it, what is left out, and how publishing fails."""

import json

import pytest
import torch
from lightning.pytorch import Trainer

from lnas.callbacks import (
    ArchitecturePictures,
    AtomicCheckpointIO,
    CollapseWarning,
    DeriveGenotype,
    DiscretizationGap,
    GenotypeTrail,
    WiringDiagnostics,
)
from lnas.cli.main import main
from lnas.dashboard import PLAN, build, logged_by, planned, workspace, workspace_json
from lnas.data import TensorData
from lnas.errors import InputError
from lnas.loggers import MetricsCsv, WandbRun
from lnas.search import SearchModule
from lnas.spaces import DartsSpace
from lnas.supernet import ConvolutionalSupernet
from lnas.tasks import ImageExamples

pytestmark = [
    pytest.mark.filterwarnings(f"ignore:{message}")
    for message in (
        ".*does not have many workers",
        ".*number of training batches",
        ".*treespec, LeafSpec",
        "Total length of `list` across ranks is zero",
    )
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a search of seconds, logged into an offline run of W&B."""
    pytest.importorskip("wandb_workspaces")
    folder = tmp_path_factory.mktemp("run")
    images = torch.randint(0, 256, (40, 3, 8, 8), dtype=torch.uint8)
    data = TensorData(images, torch.arange(40) % 4, num_classes=4, batch_size=8, held_out=0.2)
    module = SearchModule(
        DartsSpace(("none", "skip_connect", "sep_conv_3x3"), nodes=2),
        lambda space, num_classes: ConvolutionalSupernet(space, 4, 3, num_classes),
        examples=ImageExamples(4),
    )
    callbacks = [
        ArchitecturePictures(2), GenotypeTrail(1), DiscretizationGap(), CollapseWarning(),
        WiringDiagnostics(1), DeriveGenotype(),
    ]  # fmt: skip
    logger = WandbRun()
    trainer = Trainer(
        default_root_dir=folder, accelerator="cpu", max_epochs=2, log_every_n_steps=1,
        logger=[MetricsCsv(), logger], callbacks=callbacks, plugins=[AtomicCheckpointIO()],
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        num_sanity_val_steps=0, use_distributed_sampler=False,
    )  # fmt: skip
    trainer.fit(module, datamodule=data)
    logger.close()
    return folder


def panels_of(text):
    sections = json.loads(text)["section"]["panelBankConfig"]["sections"]
    return {section["name"]: section["panels"] for section in sections}


def test_each_panel_of_a_run_is_filled_by_what_its_offline_run_holds(run, offline_runs):
    (offline,) = offline_runs(run)
    made = panels_of(workspace_json(build(planned(logged_by([run])), "team", "project")))
    assert list(made) == ["Search", "Architecture", "Wiring", "Derivation"]
    kinds = set()
    for panel in (panel for panels in made.values() for panel in panels):
        config = panel["config"]
        assert config["chartTitle"]
        for key in config.get("metrics", []):
            found = [row for row in offline.rows if key in row or f"{key}/_type" in row]
            assert config["xAxis"] == "search/step"
            assert len({row["search/step"] for row in found}) >= 2, key
            kinds.add(found[0].get(f"{key}/_type", "number"))
        for key in config.get("mediaKeys", []):
            found = {row[f"{key}/_type"] for row in offline.rows if f"{key}/_type" in row}
            assert found == {"image-file"}, key
        assert config.get("metrics") or config.get("mediaKeys")
    assert kinds == {"histogram", "number"}


def test_sections_and_panels_stand_in_the_order_of_the_plan(run):
    order = [(section.name, panel.title) for section in PLAN for panel in section.panels]
    made = panels_of(workspace_json(build(planned(logged_by([run])), "team", "project")))
    found = [(name, panel["config"]["chartTitle"]) for name in made for panel in made[name]]
    assert found == [entry for entry in order if entry in found]
    whole = panels_of(workspace_json(build(planned(), "team", "project")))
    assert [
        (name, panel["config"]["chartTitle"]) for name in whole for panel in whole[name]
    ] == order


def test_without_runs_patterns_become_expressions_of_whole_names():
    pytest.importorskip("wandb_workspaces")
    made = panels_of(workspace_json(build(planned(), "team", "project")))
    entropy = made["Architecture"][0]["config"]
    assert entropy["metricRegex"] == "^arch/[^/]+/entropy$"
    assert made["Evaluation"][0]["config"]["xAxis"] == "eval/step"


def test_the_command_writes_json_without_network_or_account(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(workspace, "has_account", lambda: pytest.fail("asked for an account"))
    file = tmp_path / "workspace.json"
    assert main(["dashboard", str(run), "--output", str(file)]) == 0
    panels = panels_of(file.read_text(encoding="utf-8"))
    count = sum(map(len, panels.values()))
    assert capsys.readouterr().out == f"{count} panels in 4 sections: {file}\n"


def test_what_wandb_refuses_is_said_in_one_line(monkeypatch):
    pytest.importorskip("wandb_workspaces")
    made = build(planned(), "team", "project")

    def refuse(self):
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(type(made), "save", refuse)
    with pytest.raises(InputError, match=r"for team/project: no route to host; check the names"):
        workspace.publish(made)
