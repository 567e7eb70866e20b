"""Fixtures shared by all tests."""

import inspect
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

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
def run_two_ranks(tmp_path):
    """`run_two_ranks(function, *arguments)` -> what it returned on rank 0 and on rank 1.

    The function stands at the top of its file. It runs in two fresh processes in which
    `Trainer(accelerator="cpu", strategy="ddp", devices=2)` finds itself as one of two ranks (gloo).
    """

    def run(function, *arguments, timeout=300):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        torch.save(arguments, tmp_path / "arguments.pt")
        file = inspect.getfile(function)
        processes = []
        for rank in range(2):
            place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
            place |= {"GROUP_RANK": 0, "TORCHELASTIC_RUN_ID": "test", "OMP_NUM_THREADS": 1}
            place |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
            command = [sys.executable, str(Path(__file__).parent / "rank.py"), file]
            command += [function.__name__, tmp_path / "arguments.pt", tmp_path / f"{rank}.pt"]
            environment = os.environ | {name: str(value) for name, value in place.items()}
            with (tmp_path / f"{rank}.log").open("w") as log:
                processes.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
        end = time.monotonic() + timeout
        try:
            while any(process.poll() is None for process in processes):
                failed = any(process.poll() not in (None, 0) for process in processes)
                if failed or time.monotonic() > end:
                    break
                time.sleep(0.1)
            logs = "\n".join((tmp_path / f"{rank}.log").read_text()[-3000:] for rank in range(2))
            assert [process.poll() for process in processes] == [0, 0], logs
        finally:
            for process in processes:
                process.kill()
                process.wait()
        return [torch.load(tmp_path / f"{rank}.pt", weights_only=False) for rank in range(2)]

    return run
