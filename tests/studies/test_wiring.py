"""The tables behind `notebooks/03_wiring.ipynb` are what the study of the wiring finds today.

They are made by

    lnas study --config wiring
    cp runs/wiring/runs.csv runs/wiring/signals.csv notebooks/wiring/

See `test_committed.py` for when a table is out of date.
"""

from pathlib import Path

import pandas as pd
import pytest

from lnas.runs.training import search
from lnas.studies.command import read_study
from lnas.studies.graph import trials
from lnas.studies.records import epoch_records

TABLES = Path(__file__).parents[2] / "notebooks" / "wiring"


@pytest.fixture
def study(tmp_path):
    return read_study(["--config", "wiring", f"--folder={tmp_path}"])


def committed(table):
    return pd.read_csv(TABLES / f"{table}.csv")


def test_the_committed_signals_are_those_of_every_epoch(study):
    signals = committed("signals")
    assert set(study.signals) <= set(signals.columns)
    for (method, seed, _), rows in signals.groupby(["method", "seed", "run"]):
        assert list(rows.epoch) == list(range(40)), (method, seed)
        two = "two levels" in method
        assert rows["search/loss_minus_entropy_architecture"].notna().all() == two
    active = signals["arch/normal/input_edges"] + signals["arch/normal/inner_edges"]
    assert (active == signals["arch/normal/active_edges"]).all()


@pytest.mark.slow
def test_a_search_of_the_tables_begins_as_it_did(study, data_root):
    trial = next(trials(study))
    (run,) = trial.runs
    search([*run.arguments(), f"--run.folder={run.folder}"])
    signals = committed("signals")
    expected = signals[(signals.method == trial.method) & (signals.seed == trial.seed)]
    again = pd.DataFrame(epoch_records(run, study.signals))
    # Processors and kernels round otherwise, and later epochs make much of that.
    pd.testing.assert_frame_equal(
        again[:1], expected[again.columns].reset_index(drop=True)[:1], rtol=1e-2, atol=1e-4
    )
