"""`lnas derive`: many criteria on one finished search, which stays as it was."""

import json
from pathlib import Path

import pytest
import yaml

from lnas.cli.derivations import derive_command
from lnas.cli.main import main
from lnas.dashboard import logged_by, planned
from lnas.errors import InputError
from lnas.genotype import Genotype
from lnas.loggers import read_rows
from lnas.runs.training import search

OPTIONS = [
    "--config=darts_nasbench201", "--data=lnas.data.FakeImages", "--data.images=64",
    "--data.shape=[3,8,8]", "--data.batch_size=8", "--data.held_out=16", "--trainer.max_epochs=1",
    "--trainer.logger=false", "--model.supernet.init_args.channels=2",
    "--model.supernet.init_args.cells=1", "--trainer.accelerator=cpu",
    "--trainer.callbacks=lnas.callbacks.DeriveGenotype",
]  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return the folder of a finished search."""
    return search([*OPTIONS, f"--run.folder={tmp_path_factory.mktemp('searches') / 'run'}"])


def refused(capsys, *arguments):
    code = main(["derive", *map(str, arguments)])
    said = capsys.readouterr()
    assert (code, said.out) == (2, "")
    (line,) = said.err.strip().splitlines()
    return line


def test_criteria_stand_side_by_side_and_the_search_stays_as_it_was(finished, tmp_path, capsys):
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    names = ["magnitude", "argmax", "select", "mask:criterion=accuracy", "random:seed=1"]
    asked = [word for name in names for word in ("--criterion", name)]
    place = tmp_path / "derived"
    arguments = ["derive", str(finished), *asked, "--folder", str(place), "--shuffle", "2"]
    capsys.readouterr()
    assert main(arguments) == 0
    said = capsys.readouterr().out
    report = json.loads((place / "derivations.json").read_text())
    assert [one["criterion"] for one in report["derived"]] == names
    for number, one in enumerate(report["derived"]):
        genotype = Genotype.load(place / f"genotype-{number}.json")
        assert genotype.hash == one["hash"]
        assert (place / f"genotype-{number}.png").is_file()
        assert f"{one['loss']:.4f}" in said
        assert f"{one['parameters']:,}" in said
        assert len(one["decisions"]) == (6 if number in (2, 3) else 0)
    assert report["derived"][0]["agreement"] == report["derived"][1]["agreement"] == 1
    found = Genotype.load(finished / "genotype.json")
    assert found.hash == report["derived"][0]["hash"]
    assert len(report["correlations"]["cell"]) == 6
    assert len(report["shuffled"]) == 2
    assert (place / "strength.png").read_bytes()[:4] == b"\x89PNG"
    assert before == {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    measured_alike(place, report)

    assert "exists; replace it with --overwrite" in refused(capsys, *arguments[1:])
    assert main([*arguments[:4], *arguments[-4:-2], "--overwrite"]) == 0
    again = json.loads((place / "derivations.json").read_text())
    assert again["derived"] == report["derived"][:1]
    assert again["correlations"] is None
    assert not (place / "genotype-1.json").exists()


def measured_alike(place, report):
    """The loggers got what the report says, and the dashboard has a place for it."""
    (row,) = read_rows(place / "metrics.csv")
    assert row["search/step"] == 3
    assert row["derive/supernet_loss"] == pytest.approx(report["supernet"]["loss"])
    words = ("magnitude", "argmax", "select", "mask_criterion_accuracy", "random_seed_1")
    for word, one in zip(words, report["derived"], strict=True):
        assert row[f"derive/{word}_accuracy"] == pytest.approx(one["accuracy"])
    (section,) = planned(logged_by([place]))
    keys = {panel.keys for panel in section.panels}
    assert {("criteria",), ("strength",)} < keys
    rows = ("supernet", "magnitude", "argmax", "select")
    assert tuple(f"derive/{name}_loss" for name in rows) in keys


def test_it_is_logged_into_wandb_as_the_search_was_and_nowhere_in_its_folder(
    finished, tmp_path, offline_runs, monkeypatch
):
    monkeypatch.setattr("lnas.cli.derivations.has_account", lambda: False)  # nor is one needed
    config = finished / "config.yaml"
    kept = config.read_text()
    settings = yaml.safe_load(kept)
    settings["trainer"]["logger"] = [
        {"class_path": f"lnas.loggers.{name}", "init_args": {"folder": str(finished), **options}}
        for name, options in (("MetricsCsv", {}), ("WandbRun", {"mode": "online"}))
    ]
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    arguments = ["--criterion", "select", "--batches", "1", "--folder", str(tmp_path / "derived")]
    try:
        config.write_text(yaml.safe_dump(settings))
        assert main(["derive", str(finished), *arguments]) == 0
    finally:
        config.write_text(kept)
    assert before == {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    (logged,) = offline_runs(tmp_path / "derived")
    (row,) = logged.rows
    assert row["derive/select_loss"] > 0
    assert {row[f"{name}/_type"] for name in ("criteria", "strength")} == {"image-file"}
    assert row["derivations/_type"] == "table-file"

    (tmp_path / "derived" / "derivations.json").unlink()  # as if it had been interrupted
    assert main(["derive", str(finished), *arguments]) == 0
    with pytest.raises(InputError, match="replace it with --overwrite"):
        derive_command([str(finished), *arguments])


def test_help_tells_the_criteria(capsys):
    assert main(["derive", "--help"]) == 0
    said = capsys.readouterr().out
    for word in ("magnitude", "argmax", "select", "mask", "edge_order", "--shuffle", "--overwrite"):
        assert word in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "the following arguments are required: run; see `lnas derive --help`"),
        (["nowhere"], "nowhere is not the folder of a search"),
        (["RUN", "--criterion", "masked"], "There is no criterion 'masked'; use mask"),
        (["RUN", "--criteria", "mask"], "unrecognized arguments: --criteria mask"),
        (["RUN", "--batches", "0"], "--batches 0 is too small; give 1 or more"),
        (["RUN", "--shuffle", "x"], "invalid int value: 'x'"),
        (["RUN", "--folder", "RUN", "--overwrite"], "holds something else than derivations"),
    ],
)
def test_bad_input_is_one_line(arguments, said, finished, capsys):
    given = [str(finished) if word == "RUN" else word for word in arguments]
    assert said in refused(capsys, *given)


def test_a_search_that_is_not_finished_is_refused(tmp_path, finished, capsys):
    card = finished / "run_card.json"
    kept = card.read_text()
    try:
        card.write_text(kept.replace('"finished"', '"interrupted"'))
        assert "is interrupted; let the search end first" in refused(capsys, finished)
    finally:
        card.write_text(kept)
    folder = Path(tmp_path / "run")
    folder.mkdir()
    (folder / "config.yaml").write_text("model: {space: null}\n")
    assert "has no checkpoints/last.ckpt" in refused(capsys, folder)
    (folder / "config.yaml").write_text("model: {genotype: darts_v2}\n")
    assert "is the folder of an evaluation; give that of a search" in refused(capsys, folder)
