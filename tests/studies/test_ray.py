"""The same study on a Ray cluster of two workers on this machine, one of which is killed."""

import csv
import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from lnas.errors import InputError
from lnas.studies import ray_engine

HERE = Path(__file__).parent
PATIENCE = 400  # seconds
TIMES = ("search_seconds", "training_seconds")


def test_without_ray_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"lnas\[ray\]"):
        ray_engine.RayEngine()


@pytest.fixture(scope="module")
def address():
    """Start a cluster of two machines, each with one core for runs, and return its address."""
    pytest.importorskip("ray", reason="Ray is not installed")
    from ray.cluster_utils import Cluster

    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE), *filter(None, [before])])
    sys.path.insert(0, str(HERE))
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    yield cluster.address
    cluster.shutdown()
    sys.path.remove(str(HERE))
    os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)


def launch(folder, **changes):
    import small_study

    folder.mkdir(exist_ok=True)
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=small_study.start, args=(folder, changes))
    process.start()
    return process


def finish(process, folder):
    process.join(PATIENCE)
    logs = [folder / "log.txt", *folder.rglob("*.log")]
    said = "\n".join(f"{log}\n{log.read_text()[-1500:]}" for log in logs if log.exists())
    if process.is_alive():
        os.killpg(process.pid, signal.SIGKILL)
    assert process.exitcode == 0, said


def table(folder):
    with (folder / "runs/small/results.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if k not in TIMES} for row in rows]


def parent(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


@pytest.mark.slow
def test_a_study_on_ray_survives_a_killed_worker(address, tmp_path):
    whole, killed = tmp_path / "local", tmp_path / "ray"
    finish(launch(whole), whole)

    place = "runs/small/plain-1/search: batch 1 1"
    killed.mkdir()
    (killed / "pause").write_text(f"{place}\n")
    process = launch(killed, engine="ray", address=address)
    end = time.monotonic() + PATIENCE
    while not (killed / "paused").exists() or place not in (killed / "paused").read_text():
        assert process.is_alive(), (killed / "log.txt").read_text()
        assert time.monotonic() < end
        time.sleep(0.05)
    (killed / "pause").write_text("")
    run = int((killed / "paused").read_text().split()[-1])
    os.kill(parent(parent(run)), signal.SIGKILL)  # the run, its server of forks, Ray's worker
    finish(process, killed)
    assert table(killed) == table(whole)
    log = (killed / "runs/small/plain-1/search.log").read_text()
    assert log.count("== ") == 2  # it was started again
