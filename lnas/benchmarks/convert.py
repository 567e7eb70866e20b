"""Makes the compact table of the benchmark's own file: `python -m lnas.benchmarks.convert`.

    pip install "lnas[nasbench201]"
    python -m lnas.benchmarks.convert NATS-tss-v1_0-3ffb9-simple DATA/nasbench201

The first argument is what the authors publish: the folder `...-simple`, which is read cell by cell,
or the one file, which needs some tens of gigabytes of memory. Their API unpickles it: use it on the
authors' own files only. Accuracies are means over all seeds; the latency is what the API gives for
CIFAR-10, in milliseconds, of the authors' GPU.
It was written by the API's source (nats-bench 1.8) and tested with a stand-in for it: it has not
been run on the real files.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lnas.benchmarks.nasbench201 import operations_of
from lnas.benchmarks.table import Array, write_latency, write_table
from lnas.errors import InputError
from lnas.genotype import Genotype

# The API's name of each data set, the prefix of its accuracies and the suffix of its costs here.
SETS = (("cifar10", "c10", "cifar10"), ("cifar100", "c100", "cifar100"),
        ("ImageNet16-120", "in16", "in16"))  # fmt: skip


def open_api(path: Path) -> Any:
    """Return the official API of the topology benchmark.

    Raises:
        InputError: There is no such file, or the API is not installed.
    """
    if not path.exists():
        raise InputError(f"There is no benchmark file {path}; give the authors' file or folder.")
    try:
        from nats_bench import create
    except ImportError as error:
        raise InputError('The converter needs the API: pip install "lnas[nasbench201]".') from error
    return create(str(path), "tss", fast_mode=path.is_dir(), verbose=False)


def columns_of(api: Any) -> dict[str, Array]:
    """Return the columns of the table, one row per cell in the order of the API."""
    rows = [_row(api, index, text) for index, text in enumerate(api.meta_archs)]
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    floats = {n: c.astype(np.float32) for n, c in columns.items() if c.dtype == np.float64}
    columns["ops"] = columns["ops"].astype(np.uint8)
    return columns | floats


def latency_of(api: Any) -> dict[str, Array]:
    """Return milliseconds for each cell by device, as far as the API knows them of all cells."""
    costs = (api.get_cost_info(index, "cifar10", hp="12") for index in range(len(api.meta_archs)))
    seconds = np.array([cost.get("latency", -1.0) for cost in costs], dtype=np.float32)
    return {"authors": 1000 * seconds} if (seconds > 0).all() else {}


def main(arguments: Sequence[str]) -> int:
    """Convert; return the exit code."""
    if len(arguments) != 2:
        print("usage: python -m lnas.benchmarks.convert BENCHMARK_FILE FOLDER", file=sys.stderr)
        return 2
    source, folder = map(Path, arguments)
    try:
        api = open_api(source)
        columns = columns_of(api)
        write_table(folder, columns)
        write_latency(folder, latency_of(api))
    except InputError as error:
        print(f"lnas: {error}", file=sys.stderr)
        return 2
    print(f"{len(columns['ops']):,} cells: {folder}")
    return 0


def _row(api: Any, index: int, text: str) -> dict[str, Any]:
    row: dict[str, Any] = {"ops": operations_of(Genotype.from_text(text))}
    for dataset, accuracies, costs in SETS:
        trained = api.get_more_info(index, dataset, hp="200", is_random=False)
        row[f"{accuracies}_test_200"] = float(trained["test-accuracy"])
        # Only this part of CIFAR-10 was trained without its validation images.
        part = "cifar10-valid" if dataset == "cifar10" else dataset
        briefly = api.get_more_info(index, part, hp="12", is_random=False)
        row[f"{accuracies}_val_12"] = float(briefly["valid-accuracy"])
        cost = api.get_cost_info(index, dataset, hp="12")
        row[f"params_{costs}"] = round(cost["params"] * 1e6)
        row[f"flops_{costs}"] = round(cost["flops"] * 1e6)
    return row


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
