"""The file format of the NAS-Bench-201 table, small enough to be opened at once.

A folder with `nasbench201.npz` (plain numpy arrays, no pickles), or the same columns as
`nasbench201.csv.gz` with a header, and optionally `latency_ms.npz`. There is one row per cell, in
any number and order:

| column | holds |
|---|---|
| `ops` | operation of each edge, uint8 (rows, 6); in the CSV six digits. Edges 0->1, 0->2, 1->2, 0->3, 1->3, 2->3; operations by their position in `op_names` |
| `op_names` | names of the operations (npz only; the CSV has the order of the npz below) |
| `c10_test_200`, `c100_test_200`, `in16_test_200` | test accuracy in percent after 200 epochs, mean over the benchmark's seeds |
| `c10_val_12`, `c100_val_12`, `in16_val_12` | validation accuracy in percent after 12 epochs, what a search may look at by the benchmark's protocol; optional |
| `params_cifar10`, `params_cifar100`, `params_in16` | parameters |
| `flops_cifar10`, `flops_cifar100`, `flops_in16` | multiply-adds of convolutions and linear layers for one image |

`latency_ms.npz` has one array per device, milliseconds for each row. Other columns are not read.
"""  # noqa: E501 - a line of the table is one line

import csv
import gzip
import io
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from lnas.errors import InputError
from lnas.files import replacing

Array = NDArray[Any]
NAMES = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
DATASETS = {  # name: prefix of accuracies, suffix of costs
    "cifar10": ("c10", "cifar10"),
    "cifar100": ("c100", "cifar100"),
    "imagenet16": ("in16", "in16"),
}
TABLE, TEXT, LATENCY = "nasbench201.npz", "nasbench201.csv.gz", "latency_ms.npz"
UNREADABLE = (OSError, ValueError, KeyError, EOFError, BadZipFile)


def locate(root: str | Path | None) -> Path:
    """Return the folder that has the table: `root`, or `nasbench201` in it.

    Args:
        root: The folder; None takes the environment variable LNAS_DATA.

    Raises:
        InputError: There is no table.
    """
    given = root or os.environ.get("LNAS_DATA")
    if not given:
        raise InputError(
            "There is no table of NAS-Bench-201: set root, or the environment variable LNAS_DATA, "
            f"to the folder that has nasbench201/{TABLE}; `python -m lnas.benchmarks.convert` "
            "makes it of the benchmark's own file."
        )
    for folder in (Path(given) / "nasbench201", Path(given)):
        if (folder / TABLE).is_file() or (folder / TEXT).is_file():
            return folder
    raise InputError(
        f"The folder {given} has no table of NAS-Bench-201: neither nasbench201/{TABLE} nor "
        f"nasbench201/{TEXT}; `python -m lnas.benchmarks.convert` makes them of the benchmark's "
        "own file."
    )


def read_table(folder: Path) -> dict[str, Array]:
    """Return the columns that are known, `ops` by the order of `NAMES`.

    Raises:
        InputError: The table is damaged or lacks a column.
    """
    path = folder / TABLE if (folder / TABLE).is_file() else folder / TEXT
    try:
        columns = _read_npz(path) if path.suffix == ".npz" else _read_csv(path)
        names = [str(name) for name in columns.pop("op_names", np.array(NAMES))]
        order = np.array([NAMES.index(name) for name in names], dtype=np.uint8)
        columns["ops"] = order[columns["ops"]]
        rows = len(columns["ops"])
        ok = columns["ops"].shape == (rows, 6) and all(len(c) == rows for c in columns.values())
    except (*UNREADABLE, IndexError, StopIteration) as error:
        raise InputError(f"{path} is not a table of NAS-Bench-201 ({error}); copy it anew.") from (
            error
        )
    missing = [name for name in needed_columns() if name not in columns]
    if missing or not ok or not rows:
        what = f"it has no {', '.join(missing)}" if missing else "its columns differ in length"
        raise InputError(f"{path} is not a table of NAS-Bench-201: {what}; copy it anew.")
    return columns


def read_latency(folder: Path, rows: int) -> dict[str, Array]:
    """Return milliseconds by device; nothing when there is no such file.

    Raises:
        InputError: The file is damaged or belongs to another table.
    """
    path = folder / LATENCY
    if not path.is_file():
        return {}
    try:
        found = _read_npz(path)
    except UNREADABLE as error:
        raise InputError(f"{path} cannot be read ({error}); copy it anew, or remove it.") from error
    if any(values.shape != (rows,) for values in found.values()):
        raise InputError(f"{path} has not the {rows} rows of its table; copy it anew or remove it.")
    return found


def write_table(folder: Path, columns: Mapping[str, Array]) -> None:
    """Write `nasbench201.npz`; `ops` by the order of `NAMES`.

    Raises:
        InputError: The folder cannot be written.
    """
    arrays: dict[str, Any] = {"op_names": np.array(NAMES), **columns}
    with replacing(folder / TABLE) as temporary:
        np.savez_compressed(temporary, **arrays)


def write_latency(folder: Path, devices: Mapping[str, Array]) -> None:
    """Write `latency_ms.npz`, milliseconds by device, if there are any.

    Raises:
        InputError: The folder cannot be written.
    """
    if devices:
        arrays: dict[str, Any] = dict(devices)
        with replacing(folder / LATENCY) as temporary:
            np.savez_compressed(temporary, **arrays)


def needed_columns() -> list[str]:
    """Return the columns that a table must have."""
    accuracies = [f"{prefix}_test_200" for prefix, _ in DATASETS.values()]
    costs = [f"{what}_{name}" for what in ("params", "flops") for _, name in DATASETS.values()]
    return ["ops", *accuracies, *costs]


def known_columns() -> list[str]:
    """Return the columns that are read."""
    return [*needed_columns(), *(f"{prefix}_val_12" for prefix, _ in DATASETS.values())]


def _read_npz(path: Path) -> dict[str, Array]:
    # From memory: numpy leaves a damaged file open.
    with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
        chosen: Iterable[str] = stored.files
        if path.name == TABLE:
            chosen = [name for name in (*known_columns(), "op_names") if name in stored.files]
        return {name: stored[name] for name in chosen}


def _read_csv(path: Path) -> dict[str, Array]:
    text = gzip.decompress(path.read_bytes()).decode()
    lines = csv.reader(io.StringIO(text))
    header = next(lines)
    cells = dict(zip(header, zip(*lines, strict=True), strict=True))
    columns: dict[str, Array] = {
        name: np.array(cells[name], dtype=float) for name in known_columns()[1:] if name in cells
    }
    columns["ops"] = np.array([[int(digit) for digit in word] for word in cells["ops"]])
    return columns
