"""The tables of `notebooks/04_language.ipynb` are what the study of recurrent cells finds today.

They are made by

    lnas study --config language
    cp runs/language/runs.csv runs/language/signals.csv notebooks/language/

See `test_committed.py` for when a table is out of date.
"""

from pathlib import Path

import pandas as pd
import pytest

from lnas.runs.training import evaluate
from lnas.studies.command import read_study
from lnas.studies.graph import trials
from lnas.studies.plan import RANDOM
from lnas.studies.records import run_record
from lnas.studies.state import space_of
from lnas.studies.study import draw_cell

TABLES = Path(__file__).parents[2] / "notebooks" / "language"


@pytest.fixture
def study(tmp_path):
    return read_study(["--config", "language", f"--folder={tmp_path}"])


def committed(table):
    return pd.read_csv(TABLES / f"{table}.csv")


def test_the_committed_signals_are_those_of_every_epoch(study):
    signals = committed("signals")
    searches = signals[signals.run == "search"]
    assert set(study.signals) <= set(signals.columns)
    for (method, seed), rows in searches.groupby(["method", "seed"]):
        assert list(rows.epoch) == list(range(len(rows))), (method, seed)
        assert rows["search/fisher_average"].notna().all() == (method == "DARTS-PRIME")
    last = searches.groupby(["method", "seed"])["search/architecture_steps"].max().unstack()
    assert (last.loc["DARTS"] > 5 * last.loc["DARTS-PRIME"]).all()  # one in ten batches


@pytest.mark.slow
def test_a_random_cell_of_the_tables_learns_the_same_again(study, data_root):
    trial = next(one for one in trials(study) if one.method == RANDOM)
    draw_cell(space_of(study.variants[0]), trial)
    (run,) = trial.runs
    evaluate([*run.arguments(), f"--run.folder={run.folder}"])
    rows = committed("runs")
    row = rows[(rows.method == RANDOM) & (rows.seed == trial.seed)].iloc[0]
    found = run_record(trial, run, None)
    assert found["genotype_hash"] == row["genotype_hash"]
    # Other processors add up in another order, and the rates are large.
    name = "eval/test_perplexity"
    assert found[name] == pytest.approx(row[name], rel=0.02)
