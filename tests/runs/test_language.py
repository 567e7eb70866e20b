"""From Penn Treebank to a test perplexity on the command line, killed on the way and resumed."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib import util
from pathlib import Path

import pytest

from lnas.loggers import read_rows

PATIENCE = 600  # seconds
COMMON = [
    "--data=lnas.data.PennTreebank", "--data.train_words=3000", "--data.batch_size=8",
    "--data.bptt=12", "--data.measured_size=8", "--trainer.accelerator=cpu",
    "--trainer.logger=lnas.loggers.MetricsCsv", "--trainer.log_every_n_steps=3",
    "--trainer.limit_val_batches=4", "--trainer.limit_test_batches=20",
    "--trainer.callbacks+=lnas.callbacks.Checkpoints", "--trainer.callbacks.every_steps=4",
]  # fmt: skip
SEARCH = [
    "--config=darts_rnn", *COMMON, "--trainer.max_epochs=3", "--model.supernet.units=6",
    "--data.held_out=400", "--seed=5",
]  # fmt: skip
EVALUATION = [
    "--config=ptb_small", *COMMON, "--trainer.max_epochs=3", "--model.network.units=6",
    "--data.test_size=40", "--seed=6",
]  # fmt: skip


def beside(name):
    """Import a file of this folder."""
    spec = util.spec_from_file_location(name, Path(__file__).parent / f"{name}.py")
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def start(options, folder):
    """Start `lnas` in a process group of its own; go on with the run in the folder if there is."""
    if (folder / "config.yaml").is_file():
        options = [options[0], f"--resume={folder}"]
    else:
        options = [*options, f"--run.folder={folder}"]
    with folder.with_suffix(".log").open("a") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "lnas", *options], stdout=log, stderr=log,
            start_new_session=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip


def finish(options, folder):
    """Run to the end and return what was printed."""
    text = folder.with_suffix(".log")
    assert start(options, folder).wait(PATIENCE) == 0, text.read_text()[-3000:]
    return text.read_text()


def stop(options, folder, number):
    """Run until the next checkpoint is written, send the signal, and return the exit code."""
    file = folder / "checkpoints" / "last.ckpt"
    before = file.stat().st_mtime_ns if file.exists() else 0
    process, end = start(options, folder), time.monotonic() + PATIENCE
    while not file.exists() or file.stat().st_mtime_ns == before:
        assert process.poll() is None, folder.with_suffix(".log").read_text()[-3000:]
        assert time.monotonic() < end
        time.sleep(0.005)
    os.killpg(process.pid, number)
    return process.wait(PATIENCE)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_penn_treebank_is_searched_and_learnt_killed_and_resumed_bit_for_bit(data_root, tmp_path):
    cell = None
    for kind, given in (("search", SEARCH), ("evaluate", EVALUATION)):
        options = [kind, *given, *([] if cell is None else [f"--genotype={cell}"])]
        whole, killed = tmp_path / f"{kind} whole", tmp_path / f"{kind} killed"
        printed = finish(options, whole)
        assert stop(options, killed, signal.SIGTERM) == 128 + signal.SIGTERM
        assert stop(options, killed, signal.SIGKILL) == -signal.SIGKILL
        finish(options, killed)
        # Weights, averages, hidden states, logged rows and the cell, bit for bit.
        beside("test_kill").assert_same_run(killed, whole)
        cell = cell or whole / "genotype.json"
    perplexity = read_rows(whole / "metrics.csv")[-1]["eval/test_perplexity"]
    assert 1 < perplexity < 10_000
    assert f"{perplexity:.2f}" in printed
    card = json.loads((whole / "run_card.json").read_text())
    assert card["results"]["eval/test_perplexity"] == pytest.approx(perplexity)
