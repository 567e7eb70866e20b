"""The tables of `notebooks/04_language.ipynb` are what the study of recurrent cells finds today.

They are made by

    lnas study --config language
    cp runs/language/runs.csv runs/language/signals.csv notebooks/language/

See `test_committed.py` for when a table is out of date. In `double.csv` are the same runs with
`--trainer.precision 64-true` behind their `config.yaml`: the same cells trained again, and the same
searches. Training such a cell forgives rounding, searching one does not.
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


def test_the_committed_cells_are_trained_the_same_in_double_precision():
    place = ["method", "seed", "run"]
    both = committed("runs").merge(committed("double"), on=place, suffixes=("", "_double"))
    assert len(both) == len(committed("runs"))
    trained = both[both.run == "evaluate"]
    assert (trained.genotype_hash == trained.genotype_hash_double).all()
    single, double = trained["eval/test_perplexity"], trained["eval/test_perplexity_double"]
    rounding = single / double - 1
    assert rounding.abs().max() < 0.03
    assert single.std() / single.mean() > 5 * rounding.std()  # cells differ by more


@pytest.mark.slow
@pytest.mark.parametrize(
    ("table", "options", "tolerance"),
    # Other processors add up in another order.
    [("runs", [], 0.02), ("double", ["--trainer.precision=64-true"], 1e-4)],
)
def test_a_random_cell_of_the_tables_learns_the_same_again(
    table, options, tolerance, study, data_root
):
    trial = next(one for one in trials(study) if one.method == RANDOM)
    draw_cell(space_of(study.variants[0]), trial)
    (run,) = trial.runs
    evaluate([*run.arguments(), f"--run.folder={run.folder}", *options])
    rows = committed(table)
    row = rows[(rows.method == RANDOM) & (rows.seed == trial.seed)].iloc[0]
    found = run_record(trial, run, None)
    assert found["genotype_hash"] == row["genotype_hash"]
    name = "eval/test_perplexity"
    assert found[name] == pytest.approx(row[name], rel=tolerance)
