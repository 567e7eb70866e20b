"""Fixtures shared by all tests."""

import json
import os
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
