"""Fixtures shared by all tests."""

import inspect
import json
import multiprocessing
import os
import socket
import struct
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lnas.studies.engine import PRELOADED

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(autouse=True)
def _plain_torch():
    """Each test starts with float32, one thread and gradients on."""
    torch.set_num_threads(1)
    yield
    torch.set_default_dtype(torch.float32)
    torch.set_grad_enabled(True)


@pytest.fixture(scope="session")
def golden():
    """Read tests/golden/NAME.npz: `golden(name).setting`, `.part("param/")`, `.data`."""

    def read(name: str) -> SimpleNamespace:
        with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in stored.files}
        data = {k: torch.from_numpy(v) if v.dtype.kind in "fib" else v for k, v in arrays.items()}

        def part(prefix: str) -> dict:
            return {k.removeprefix(prefix): v for k, v in data.items() if k.startswith(prefix)}

        return SimpleNamespace(setting=json.loads(str(data["setting"])), part=part, data=data)

    return read


@pytest.fixture(scope="session")
def data_root():
    """The folder of real data sets (LNAS_DATA), or skip."""
    root = os.environ.get("LNAS_DATA")
    if not root or not Path(root).is_dir():
        pytest.skip("LNAS_DATA does not name a folder of data sets")
    return Path(root)


@pytest.fixture
def run_two_ranks(tmp_path, monkeypatch):
    """`run_two_ranks(function, *arguments)` -> what it returned on rank 0 and on rank 1.

    The function stands at the top of its file. It runs in two fresh processes in which
    `Trainer(accelerator="cpu", strategy="ddp", devices=2)` finds itself as one of two ranks (gloo).
    """
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import rank

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)

    def run(function, *arguments, timeout=300):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        torch.save(arguments, tmp_path / "arguments.pt")
        places, processes = [tmp_path / "0", tmp_path / "1"], []
        for number, place in enumerate(places):
            own = {"RANK": number, "LOCAL_RANK": number, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
            own |= {"GROUP_RANK": 0, "TORCHELASTIC_RUN_ID": "test", "OMP_NUM_THREADS": 1}
            own |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
            environment = os.environ | {name: str(value) for name, value in own.items()}
            given = inspect.getfile(function), function.__name__, place, environment, os.getcwd()
            processes.append(context.Process(target=rank.take_part, args=given))
            processes[-1].start()
        end = time.monotonic() + timeout
        try:
            while any(process.exitcode is None for process in processes):
                failed = any(process.exitcode not in (None, 0) for process in processes)
                if failed or time.monotonic() > end:
                    break
                time.sleep(0.1)
            logs = "\n".join(place.with_suffix(".log").read_text()[-3000:] for place in places)
            assert [process.exitcode for process in processes] == [0, 0], logs
        finally:
            for process in processes:
                process.kill()
                process.join()
        # What the ranks of this very test have saved.
        return [torch.load(place.with_suffix(".pt"), weights_only=True) for place in places]

    return run


@pytest.fixture(scope="session")
def offline_runs():
    """`offline_runs(folder)`: what each offline W&B run of a run folder holds, oldest first.

    Each has `folder`, `id`, `rows` (values by name), `config`, and `artifacts` (files by kind).
    """

    def read(folder: Path) -> list[SimpleNamespace]:
        return [_offline_run(found) for found in sorted(folder.glob("wandb/offline-run-*"))]

    return read


def _offline_run(folder: Path) -> SimpleNamespace:
    run = SimpleNamespace(folder=folder, id=None, rows=[], config={}, artifacts={})
    for record in _records(folder):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            run.id = record.run.run_id
        for update in (record.run.config.update, record.config.update):
            values = {item.key: json.loads(item.value_json) for item in update if item.key}
            run.config |= {key: value for key, value in values.items() if key != "_wandb"}
        if kind == "history":
            items = record.history.item
            values = {i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in items}
            run.rows.append(values)
        for artifact in (record.artifact, record.request.log_artifact.artifact):
            if artifact.type and artifact.manifest.contents:
                files = [entry.path for entry in artifact.manifest.contents]
                run.artifacts[artifact.type] = files
    return run


def _records(folder: Path):
    """Yield the records of a run: 7 header bytes, then LevelDB log frames."""
    from wandb.proto import wandb_internal_pb2

    (path,) = folder.glob("run-*.wandb")
    content, place, whole = path.read_bytes(), 7, b""
    while place + 7 <= len(content):
        if 32768 - place % 32768 < 7:  # the rest of a block is padding
            place += 32768 - place % 32768
            continue
        _, length, kind = struct.unpack("<IHB", content[place : place + 7])
        place += 7 + length
        if place > len(content):  # killed within a write
            return
        whole += content[place - length : place]
        if kind in (1, 4):  # full, last
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            yield record
            whole = b""
