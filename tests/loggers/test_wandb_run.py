"""An offline W&B run holds the rows of metrics.csv, the media, and goes on under its id."""

import pytest
import torch
from PIL import Image

from lnas.errors import InputError
from lnas.loggers import MetricsCsv, WandbRun, read_rows

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


def numbers(row):
    return {k: v for k, v in row.items() if k in ROWS[0]}


ROWS = [{"search/step": n, "search/loss_weights": 1 / (n + 1), "arch/skips": n} for n in range(4)]


def test_an_offline_run_equals_metrics_csv_and_resumes_under_its_id(offline_runs, tmp_path):
    csv, wandb = MetricsCsv(tmp_path), WandbRun(folder=tmp_path)
    wandb.log_hyperparams({"seed": 3, "model": {"channels": 4}})
    Image.new("RGB", (4, 4)).save(tmp_path / "picture.png")
    (tmp_path / "genotype.json").write_text("{}")
    wandb.picture("glance", tmp_path / "picture.png")
    wandb.histogram("arch/gates", torch.arange(5.0))
    wandb.table("genotypes", ["epoch", "hash"], [[0, "ab"]])
    wandb.file(tmp_path / "genotype.json", "genotype")
    for row in ROWS[:3]:
        csv.log_metrics(row)
        wandb.log_metrics(row)
    wandb.close()
    (first,) = offline_runs(tmp_path)
    assert [numbers(row) for row in first.rows] == read_rows(tmp_path / "metrics.csv")
    assert first.config == {"seed": 3, "model": {"channels": 4}}
    names = ("glance", "arch/gates", "genotypes")
    kinds = [first.rows[0][f"{name}/_type"] for name in names]
    assert kinds == ["image-file", "histogram", "table-file"]
    for name in ("glance", "genotypes"):
        assert (first.folder / "files" / first.rows[0][f"{name}/path"]).is_file()
    assert first.artifacts["genotype"] == ["genotype.json"]

    # Resumed from a checkpoint that knows of two rows.
    csv, again = MetricsCsv(tmp_path), WandbRun(folder=tmp_path)
    csv.rewind(2)
    again.rewind(2)
    for row in ROWS[2:]:
        csv.log_metrics(row)
        again.log_metrics(row)
    again.close()
    assert again.run_id == wandb.run_id
    found = offline_runs(tmp_path)
    (second,) = [run for run in found if run.folder != first.folder]
    assert again.attempts() == [run.folder.name for run in found]
    assert [numbers(row) for row in second.rows] == ROWS == read_rows(tmp_path / "metrics.csv")
    assert second.id == first.id == wandb.run_id


def test_online_without_a_key_is_refused_and_not_asked_for(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setattr("wandb.api", type("Api", (), {"api_key": None})())
    with pytest.raises(InputError, match=r"finds no key .*wandb login"):
        _ = WandbRun(mode="online", folder=tmp_path).run


def test_an_unknown_mode_is_refused():
    with pytest.raises(InputError, match="choose one of"):
        WandbRun(mode="dryrun")
