"""A run that is killed from outside and resumed ends bit-identical to one that was left alone.

The runs are processes of their own, which stand still at a chosen point until SIGKILL ends them and
all their children: so the point of the kill does not depend on the load of the machine.
"""

import math
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent
PATIENCE = 300  # seconds
FILES = ("metrics.csv", "genotype.json", "genotypes.jsonl", "gates.jsonl")
# Twelve kills of one search: before the first checkpoint, between and behind others, in the last
# batch of an epoch, within validation, while a checkpoint is written, at ends of epochs, and twice
# within the derivation.
POINTS = [
    "batch 0 0", "batch 0 2", "writing 1", "batch 0 4", "validation 0 1", "epoch 0", "batch 1 1",
    "validation 1 0", "writing 2", "epoch 2", "derivation", "derivation",
]  # fmt: skip


@pytest.fixture(scope="module")
def launch():
    """Start `small_run` in a process of its own: `launch(kind, folder, point, ranks)`."""
    context = multiprocessing.get_context("forkserver")
    sys.path.insert(0, str(HERE))
    os.environ["OMP_NUM_THREADS"] = "1"
    # Where the server looks for what it imports once, for all runs.
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE), *filter(None, [before])])
    context.set_forkserver_preload(["small_run"])
    import small_run

    def start(kind, folder, point="", ranks=1):
        process = context.Process(target=small_run.start, args=(kind, folder, point, ranks))
        process.start()
        return process

    yield start
    sys.path.remove(str(HERE))
    os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)


def finish(process, folder):
    process.join(PATIENCE)
    assert process.exitcode == 0, folder.with_suffix(".log").read_text()[-3000:]


def wait_for_pause(process, folder):
    """Wait until the run stands still."""
    end = time.monotonic() + PATIENCE
    while not (folder / "paused").exists():
        assert process.is_alive(), folder.with_suffix(".log").read_text()[-3000:]
        assert time.monotonic() < end, folder.with_suffix(".log").read_text()[-3000:]
        time.sleep(0.02)
    (folder / "paused").unlink()


def kill(process):
    """End the process and all its children as the kernel does when memory is short."""
    os.killpg(process.pid, signal.SIGKILL)
    process.join(PATIENCE)
    assert process.exitcode == -signal.SIGKILL


def run_to_the_end(launch, kind, folder, ranks=1):
    finish(launch(kind, folder, ranks=ranks), folder)


def run_with_kills(launch, kind, folder, points, ranks=1):
    for point in points:
        process = launch(kind, folder, point, ranks)
        wait_for_pause(process, folder)
        kill(process)
    run_to_the_end(launch, kind, folder, ranks)


def assert_equal(first, second, place="checkpoint"):
    """Compare nested data bit by bit."""
    assert type(first) is type(second), place
    if isinstance(first, dict):
        assert first.keys() == second.keys(), place
        for key in first:
            assert_equal(first[key], second[key], f"{place}/{key}")
    elif isinstance(first, (list, tuple)):
        assert len(first) == len(second), place
        for index, pair in enumerate(zip(first, second, strict=True)):
            assert_equal(*pair, f"{place}/{index}")
    elif isinstance(first, torch.Tensor):
        assert torch.equal(first.nan_to_num(7.0), second.nan_to_num(7.0)), place
    else:
        same = first == second or (first != first and second != second)
        assert same, f"{place}: {first} and {second}"


def assert_same_run(folder, reference):
    for name in FILES:
        if (reference / name).exists():
            assert (folder / name).read_bytes() == (reference / name).read_bytes(), name
    both = [torch.load(f / "checkpoints/last.ckpt", weights_only=True) for f in (folder, reference)]
    for checkpoint in both:
        checkpoint["callbacks"].pop("RunCard")  # wall time
        del checkpoint["loops"]  # Lightning's own counters differ harmlessly
    assert_equal(*both)


@pytest.fixture(scope="module")
def reference(launch, tmp_path_factory):
    folder = tmp_path_factory.mktemp("reference") / "search"
    run_to_the_end(launch, "search", folder)
    return folder


def test_a_search_killed_twelve_times_ends_as_if_left_alone(launch, reference, tmp_path):
    run_with_kills(launch, "search", tmp_path / "search", POINTS)
    assert_same_run(tmp_path / "search", reference)
    rows = (reference / "metrics.csv").read_text().splitlines()
    assert len(rows) > 3 * 5  # the comparison was of something


def test_a_search_on_two_ranks_survives_a_kill(launch, tmp_path):
    run_to_the_end(launch, "search", tmp_path / "whole", ranks=2)
    run_with_kills(launch, "search", tmp_path / "killed", ["batch 1 2"], ranks=2)
    assert_same_run(tmp_path / "killed", tmp_path / "whole")


def test_an_evaluation_survives_kills(launch, tmp_path):
    run_to_the_end(launch, "evaluate", tmp_path / "whole")
    points = ["batch 0 3", "batch 1 5", "validation 1 0", "epoch 2", "test 0"]
    run_with_kills(launch, "evaluate", tmp_path / "killed", points)
    assert_same_run(tmp_path / "killed", tmp_path / "whole")


@pytest.mark.parametrize(
    ("number", "point"),
    [
        (signal.SIGINT, "batch 1 1"),
        (signal.SIGTERM, "validation 1 0"),
        (signal.SIGTERM, "batch 0 4"),
        (signal.SIGINT, "epoch 1"),
        (signal.SIGTERM, "derivation"),
    ],
)
def test_a_signal_leaves_with_a_checkpoint_that_resumes_exactly(
    launch, reference, tmp_path, number, point
):
    folder = tmp_path / "search"
    process = launch("search", folder, f"signal {number} {point}")
    process.join(PATIENCE)
    assert process.exitcode == 128 + number, folder.with_suffix(".log").read_text()[-3000:]
    assert (folder / "checkpoints/last.ckpt").exists()
    assert '"status": "interrupted"' in (folder / "run_card.json").read_text()
    run_to_the_end(launch, "search", folder)
    assert_same_run(folder, reference)


COMMON = [
    "--data.workers=2", "--data.cutout=2", "--trainer.accelerator=cpu",
    "--trainer.callbacks+=lnas.callbacks.Checkpoints", "--trainer.callbacks.every_steps=3",
]  # fmt: skip
COMMANDS = {
    "search": [
        "--config=darts_nasbench201", "--config=digits", "--trainer.limit_train_batches=8",
        "--model.supernet.channels=2", "--model.supernet.cells=1", "--trainer.max_epochs=3",
        "--model.supernet.drop_path=0.2", "--trainer.log_every_n_steps=2",
    ],
    "evaluate": [
        "--config=digits", "--genotype=darts_v2", "--model.network.init_args.channels=2",
        "--model.drop_path=0.3", "--trainer.max_epochs=5",
    ],
}  # fmt: skip


def command(kind, folder, more, seconds=1500.0):
    """Run `lnas` itself, W&B and all, or go on with the run in the folder; kill it after a time.

    Returns:
        Its exit code.
    """
    place = [f"--resume={folder}"] if (folder / "config.yaml").is_file() else None
    options = place or [*COMMANDS[kind], *COMMON, *more, f"--run.folder={folder}"]
    with folder.with_suffix(".log").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "lnas", kind, *options], stdout=log, stderr=log,
            start_new_session=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.wait()


def logged(runs):
    """Return the numbers of all attempts as one series: what is logged again replaces itself.

    Not those that describe pictures and tables, which a later attempt does not log again.
    """
    series = {}
    for row in (row for run in runs for row in run.rows):
        step = row.get("search/step", row.get("eval/step"))
        for name, value in row.items():
            medium = f"{name.rpartition('/')[0]}/_type" in row
            if isinstance(value, (int, float)) and not medium and not name.startswith("_"):
                series[step, name] = value
    return series


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("search", []),
        ("evaluate", []),
        ("search", ["--trainer.strategy=ddp", "--trainer.devices=2"]),
        ("evaluate", ["--trainer.strategy=ddp", "--trainer.devices=2"]),
    ],
    ids=["search", "evaluate", "search-two-ranks", "evaluate-two-ranks"],
)
def test_the_command_with_wandb_killed_at_random_moments_ends_as_if_left_alone(
    kind, more, offline_runs, tmp_path
):
    begun = time.monotonic()
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert command(kind, whole, more) == 0, whole.with_suffix(".log").read_text()
    seconds, draw = time.monotonic() - begun, random.Random(kind)
    codes = [command(kind, killed, more, seconds * draw.uniform(0.4, 1)) for _ in range(5)]
    assert -signal.SIGKILL in codes
    assert command(kind, killed, more) == 0, killed.with_suffix(".log").read_text()
    assert_same_run(killed, whole)
    runs, reference = offline_runs(killed), offline_runs(whole)
    assert logged(runs) == logged(reference) == logged(runs[-1:])
    assert len(logged(reference)) > 40  # the comparison was of something


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_a_search_killed_after_a_random_time_ends_as_if_left_alone(
    launch, reference, tmp_path, seed
):
    draw, folder = random.Random(seed), tmp_path / "search"
    for _ in range(2):
        process = launch("search", folder)
        process.join(math.exp(draw.uniform(math.log(0.3), math.log(5))))
        if process.is_alive():
            kill(process)
    run_to_the_end(launch, "search", folder)
    assert_same_run(folder, reference)
