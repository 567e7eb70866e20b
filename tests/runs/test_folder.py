"""A run folder is never overwritten unless asked, and resumed with equal settings only."""

import pytest
from lightning.pytorch import Trainer

from lnas.errors import InputError
from lnas.runs.folder import (
    RunFolder,
    check_new_folder,
    check_settings,
    differences,
    flat,
    read_settings,
    save_settings,
)

SETTINGS = {"seed": 1, "model": {"space": {"class_path": "a.B"}, "betas": [0.5, 0.9]}, "empty": []}


def test_settings_come_back_as_they_were_written(tmp_path):
    save_settings(tmp_path, SETTINGS)
    assert read_settings(tmp_path) == SETTINGS


def test_flat_names_are_dotted_and_count_lists():
    assert flat(SETTINGS) == {
        "seed": 1,
        "model.space.class_path": "a.B",
        "model.betas.0": 0.5,
        "model.betas.1": 0.9,
        "empty": [],
    }


def test_differences_name_what_changed_came_and_went():
    now = {"seed": 2, "model": {"space": {"class_path": "a.B"}, "betas": [0.5]}, "new": 3}
    assert differences(SETTINGS, now) == [
        "empty: [] -> absent",
        "model.betas.1: 0.9 -> absent",
        "new: absent -> 3",
        "seed: 1 -> 2",
    ]


def test_changed_settings_are_refused_with_the_list_unless_asked_for(tmp_path):
    save_settings(tmp_path, SETTINGS)
    check_settings(tmp_path, SETTINGS, allow_changes=False)
    check_settings(tmp_path, SETTINGS | {"seed": 7}, allow_changes=True)
    with pytest.raises(InputError, match=r"seed: 1 -> 7.*--run.allow_changes"):
        check_settings(tmp_path, SETTINGS | {"seed": 7}, allow_changes=False)


def contents(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_an_existing_run_is_refused_unless_it_may_be_overwritten(tmp_path):
    run = tmp_path / "run"
    save_settings(run, SETTINGS)
    (run / "metrics.csv").write_text("a\n1\n")
    with pytest.raises(InputError, match=r"exists.*--resume.*--run.overwrite"):
        check_new_folder(run, overwrite=False)
    check_new_folder(run, overwrite=True)
    assert contents(tmp_path) == ["run", "run/config.yaml", "run/metrics.csv"]  # not yet


@pytest.mark.parametrize("new", [True, False])
def test_the_folder_is_taken_when_the_fit_starts(tmp_path, new):
    (tmp_path / "metrics.csv").write_text("a\n1\n")
    (tmp_path / ".last.123.tmp.ckpt").write_text("half")  # of a process that was killed
    trainer = Trainer(default_root_dir=tmp_path, logger=False, accelerator="cpu", max_epochs=1,
                      enable_progress_bar=False, enable_model_summary=False)  # fmt: skip
    (tmp_path / "logs/old").mkdir(parents=True)
    (tmp_path / "logs/old/events").write_text("of an earlier run")
    old = ["logs/old", "logs/old/events", "metrics.csv"] if not new else []
    part = RunFolder(SETTINGS, tmp_path, new)
    (tmp_path / "logs/new").mkdir()  # a logger that does not wait for the fit to start
    (tmp_path / "logs/new/events").write_text("of this run")
    part.on_fit_start(trainer, None)
    expected = ["config.yaml", "logs", "logs/new", "logs/new/events", *old]
    assert contents(tmp_path) == sorted(expected)
    assert read_settings(tmp_path) == SETTINGS


def test_a_folder_of_somebody_else_is_never_removed(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="not a run's"):
        check_new_folder(tmp_path, overwrite=True)
    assert (tmp_path / "thesis.tex").exists()


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="Cannot write"):
        check_new_folder(tmp_path / "file" / "run", overwrite=False)
    with pytest.raises(InputError, match="is a file"):
        check_new_folder(tmp_path / "file", overwrite=False)
    check_new_folder(tmp_path / "deep" / "down", overwrite=False)
    assert contents(tmp_path) == ["file"]


@pytest.mark.parametrize("text", [None, "a: [\n", "3\n"])
def test_a_folder_without_readable_settings_cannot_be_resumed(tmp_path, text):
    if text is not None:
        (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(InputError, match="--resume"):
        read_settings(tmp_path)
