"""A study that is killed, whenever, ends with the very table of one that was left alone.

Studies are processes of their own, the first of a process group, whose runs stand still at chosen
points until SIGKILL ends the whole group: so the point of the kill does not depend on the load.
"""

import csv
import json
import multiprocessing
import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PATIENCE = 300  # seconds
TIMES = ("search_seconds", "training_seconds")
# Before a run has written anything, before its first checkpoint, behind it, between two stages, at
# the end of a search, and within trainings and tests; two runs are under way each time.
POINTS = [
    ("chain-1/search-1: start", "plain-1/search: batch 0 1"),
    ("chain-1/search-1: batch 1 0", "plain-1/search: end"),
    ("chain-1/search-2: start", "plain-1/search: end"),
    ("chain-1/search-2: end", "plain-1/evaluate-magnitude: test"),
    ("chain-1/evaluate: batch 1 1", "plain-1/evaluate-random: test"),
]


@pytest.fixture(scope="module")
def launch():
    """Start a small study in a process of its own: `launch(folder, **changes)`."""
    context = multiprocessing.get_context("forkserver")
    sys.path.insert(0, str(HERE))
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE), *filter(None, [before])])
    context.set_forkserver_preload(["small_study"])
    import small_study

    started = []

    def start(folder, **changes):
        folder.mkdir(exist_ok=True)
        process = context.Process(target=small_study.start, args=(folder, changes))
        process.start()
        started.append(process)
        return process

    yield start
    sys.path.remove(str(HERE))
    os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)
    for process in started:
        if process.is_alive():
            kill(process)


def log_of(folder):
    runs = sorted(folder.rglob("*.log"), key=lambda path: path.stat().st_mtime)
    logs = [folder / "log.txt", *runs[-2:]]
    return "\n".join(f"{path}\n{path.read_text()[-2000:]}" for path in logs if path.exists())


def wait_until(condition, process, folder):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert process.is_alive(), log_of(folder)
        assert time.monotonic() < end, log_of(folder)
        time.sleep(0.02)


def stand_still(launch, folder, points, **changes):
    """Start the study and return its process when its runs stand still at all these points."""
    folder.mkdir(exist_ok=True)
    places = [point if " runs/" in point else f"runs/small/{point}" for point in points]
    (folder / "paused").write_text("")
    (folder / "pause").write_text("".join(f"{place}\n" for place in places))
    process = launch(folder, **changes)
    paused = folder / "paused"
    wait_until(lambda: set(places) <= set(paused.read_text().splitlines()), process, folder)
    return process


def kill(process):
    """End the study and all its runs as the kernel does when memory is short."""
    os.killpg(process.pid, signal.SIGKILL)
    process.join(PATIENCE)


def finish(process, folder, code=0):
    process.join(PATIENCE)
    assert process.exitcode == code, log_of(folder)


def run_to_the_end(launch, folder, **changes):
    (folder / "pause").unlink(missing_ok=True)
    finish(launch(folder, **changes), folder)


def table(folder):
    """Return the results without what a clock says."""
    with (folder / "runs/small/results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows
    return [{k: v for k, v in row.items() if k not in TIMES} for row in rows]


def finished(folder):
    """Return when each finished run was finished."""
    cards = folder.glob("runs/small/*/*/run_card.json")
    return {
        str(card): card.stat().st_mtime_ns
        for card in cards
        if json.loads(card.read_text())["status"] == "finished"
    }


def starts(folder, run):
    """Return how often a run was started."""
    return (folder / f"runs/small/{run}.log").read_text().count("== ")


@pytest.fixture(scope="module")
def reference(launch, tmp_path_factory):
    folder = tmp_path_factory.mktemp("reference")
    run_to_the_end(launch, folder)
    return folder


def test_a_study_killed_five_times_has_the_table_of_one_left_alone(launch, reference, tmp_path):
    folder, done = tmp_path / "killed", {}
    for points in POINTS:
        kill(stand_still(launch, folder, points))
        still = finished(folder)
        assert done.items() <= still.items()  # none was repeated
        done = still
    run_to_the_end(launch, folder)
    assert done.items() <= finished(folder).items()
    assert table(folder) == table(reference)
    assert len(table(folder)) == 4
    assert starts(folder, "chain-1/search-1") == 3
    assert starts(folder, "chain-1/search-2") == 3
    assert starts(folder, "plain-1/derive-magnitude") == 1
    for name in ("genotype.json", "scores.json"):
        found = folder / "runs/small/chain-1/search-2" / name
        assert found.read_bytes() == (reference / found.relative_to(folder)).read_bytes()


def test_runs_end_with_their_study(launch, tmp_path):
    folder = tmp_path / "orphans"
    process = stand_still(launch, folder, ["chain-1/search-1: batch 0 1"])
    os.kill(process.pid, signal.SIGKILL)  # the study alone
    process.join(PATIENCE)
    end = time.monotonic() + PATIENCE
    while True:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            break
        assert time.monotonic() < end, "a run goes on without its study"
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_a_study_killed_after_a_random_time_has_the_table_too(launch, reference, tmp_path, seed):
    draw, folder = random.Random(seed), tmp_path / "killed"
    for _ in range(3):
        process = launch(folder)
        process.join(draw.uniform(1, 15))
        if process.is_alive():
            kill(process)
    run_to_the_end(launch, folder)
    assert table(folder) == table(reference)


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_a_signal_ends_a_study_behind_checkpoints(launch, reference, tmp_path, number):
    folder = tmp_path / "interrupted"
    points = ("chain-1/search-1: batch 0 0", "plain-1/search: batch 1 1")
    process = stand_still(launch, folder, points)
    # A terminal sends Ctrl-C to the whole group; who ends a service sends to its first process.
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    time.sleep(0.5)
    (folder / "pause").write_text("")
    finish(process, folder, 128 + number)
    for run in ("chain-1/search-1", "plain-1/search"):
        assert (folder / "runs/small" / run / "checkpoints/last.ckpt").is_file()
        assert (
            json.loads((folder / "runs/small" / run / "run_card.json").read_text())["status"]
            == "interrupted"
        )
    said = (folder / "log.txt").read_text()
    assert said.count("\nlnas: ") == 1
    assert "go on with the same command" in said
    run_to_the_end(launch, folder)
    assert table(folder) == table(reference)


def test_a_failing_run_is_named_and_the_others_are_not_lost(launch, reference, tmp_path):
    folder = tmp_path / "failing"
    folder.mkdir()
    (folder / "pause").write_text("raise runs/small/chain-1/search-2: batch 0 1\n")
    finish(launch(folder), folder, 2)  # the search and what waits for it
    said = (folder / "log.txt").read_text()
    log = "runs/small/chain-1/search-2.log"
    assert f"stage 2 of 2 failed (RuntimeError: asked to fail); see {log}" in said
    assert "evaluate chain, seed 1 failed (what it starts from has failed)" in said
    assert "asked to fail" in (folder / log).read_text()
    assert [row["method"] for row in table(folder)] == [
        "plain, magnitude", "plain, random", "random cells",
    ]  # fmt: skip
    done = finished(folder)
    run_to_the_end(launch, folder)
    assert done.items() <= finished(folder).items()
    assert table(folder) == table(reference)
    assert starts(folder, "chain-1/search-2") == 2


def test_a_study_runs_once_at_a_time(launch, tmp_path):
    folder = tmp_path / "twice"
    process = stand_still(launch, folder, ["chain-1/search-1: start"])
    finish(launch(folder), folder, 2)
    assert "Another process runs the study in runs/small" in (folder / "log.txt").read_text()
    kill(process)
