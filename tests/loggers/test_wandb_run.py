"""An offline W&B run holds the rows of metrics.csv, the media, and goes on under its id."""

import json
import struct

import pytest
import torch
from PIL import Image

from lnas.errors import InputError
from lnas.loggers import MetricsCsv, WandbRun, read_rows

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


def records(folder):
    """Yield the records of an offline run: 7 header bytes, then LevelDB log frames."""
    from wandb.proto import wandb_internal_pb2

    (path,) = folder.glob("run-*.wandb")
    content, place, whole = path.read_bytes(), 7, b""
    while place + 7 <= len(content):
        if 32768 - place % 32768 < 7:  # the rest of a block is padding
            place += 32768 - place % 32768
            continue
        _, length, kind = struct.unpack("<IHB", content[place : place + 7])
        whole += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # full, last
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            yield record
            whole = b""


def history(folder):
    rows = []
    for record in records(folder):
        if record.WhichOneof("record_type") == "history":
            items = {i.key or "/".join(i.nested_key): json.loads(i.value_json)
                     for i in record.history.item}  # fmt: skip
            rows.append(items)
    return rows


def numbers(row):
    return {k: v for k, v in row.items() if k in ROWS[0]}


def attempts(folder):
    return sorted((folder / "wandb").glob("offline-run-*"))


ROWS = [{"search/step": n, "search/loss_weights": 1 / (n + 1), "arch/skips": n} for n in range(4)]


def test_an_offline_run_equals_metrics_csv_and_resumes_under_its_id(tmp_path):
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
    (first,) = attempts(tmp_path)
    found = history(first)
    assert [numbers(row) for row in found] == read_rows(tmp_path / "metrics.csv")
    names = ("glance", "arch/gates", "genotypes")
    kinds = [found[0][f"{name}/_type"] for name in names]
    assert kinds == ["image-file", "histogram", "table-file"]
    for name in ("glance", "genotypes"):
        assert (first / "files" / found[0][f"{name}/path"]).is_file()
    kinds = [record.WhichOneof("record_type") for record in records(first)]
    requests = [r.request for r in records(first) if r.WhichOneof("record_type") == "request"]
    assert "artifact" in kinds or any(r.HasField("log_artifact") for r in requests)

    # Resumed from a checkpoint that knows of two rows.
    csv, again = MetricsCsv(tmp_path), WandbRun(folder=tmp_path)
    csv.rewind(2)
    again.rewind(2)
    for row in ROWS[2:]:
        csv.log_metrics(row)
        again.log_metrics(row)
    again.close()
    assert again.run_id == wandb.run_id
    second = next(folder for folder in attempts(tmp_path) if folder != first)
    assert again.attempts() == [first.name, second.name]
    assert [numbers(row) for row in history(second)] == ROWS == read_rows(tmp_path / "metrics.csv")
    assert {record.run.run_id for record in records(second) if record.HasField("run")} == {
        wandb.run_id
    }


def test_online_without_a_key_is_refused_and_not_asked_for(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setattr("wandb.api", type("Api", (), {"api_key": None})())
    with pytest.raises(InputError, match=r"finds no key .*wandb login"):
        _ = WandbRun(mode="online", folder=tmp_path).run


def test_an_unknown_mode_is_refused():
    with pytest.raises(InputError, match="choose one of"):
        WandbRun(mode="dryrun")
