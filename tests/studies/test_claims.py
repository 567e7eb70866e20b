"""The tables behind `notebooks/02_claims.ipynb` are what the claims' studies find today.

They are made by

    for claim in schedule prime collapse snas convergence pr_darts; do
      lnas study --config claim_$claim
      for table in runs signals; do
        cp runs/claim_$claim/$table.csv notebooks/claims/${claim}_$table.csv
      done
    done

See `test_committed.py` for when a table is out of date. Searches this short make much of how
float32 rounds, which processors and kernels do otherwise. So two runs are made again in float64,
and compared with `double.csv`; the slow tests repeat everything, and compare what methods do on
average.
"""

from pathlib import Path

import pandas as pd
import pytest

from lnas.cli.main import main
from lnas.genotype import Genotype
from lnas.runs.training import evaluate, search
from lnas.studies.command import read_study
from lnas.studies.graph import runs_of, trials
from lnas.studies.plan import RANDOM
from lnas.studies.records import epoch_records
from lnas.studies.state import space_of
from lnas.studies.study import draw_cell

TABLES = Path(__file__).parents[2] / "notebooks" / "claims"
CLAIMS = sorted(path.stem.removesuffix("_runs") for path in TABLES.glob("*_runs.csv"))
DOUBLE = TABLES / "double.csv"


def planned(claim, folder):
    study = read_study(["--config", f"claim_{claim}", f"--folder={folder}"])
    return study, list(trials(study))


def committed(claim, table="runs"):
    return pd.read_csv(TABLES / f"{claim}_{table}.csv")


def test_every_claim_has_its_tables():
    studies = (TABLES.parents[1] / "configs" / "study").glob("claim_*.yaml")
    assert sorted(path.stem.removeprefix("claim_") for path in studies) == CLAIMS
    assert len(CLAIMS) == 6
    assert all((TABLES / f"{claim}_signals.csv").is_file() for claim in CLAIMS)


@pytest.mark.parametrize(
    ("claim", "method", "command"),
    [("prime", "DARTS-PRIME", search), ("convergence", RANDOM, evaluate)],
)
def test_in_double_precision_a_run_of_the_tables_is_what_it_was(
    claim, method, command, tmp_path, data_root
):
    study, every = planned(claim, tmp_path)
    trial = next(one for one in every if one.method == method)
    if method == RANDOM:
        draw_cell(space_of(study.variants[0]), trial)
    (run,) = runs_of([trial])
    command([*run.arguments(), f"--run.folder={run.folder}", "--trainer.precision=64-true"])
    found = pd.DataFrame(epoch_records(run, study.signals)).assign(
        claim=claim, genotype_hash=Genotype.load(trial.genotype).hash
    )
    known = pd.read_csv(DOUBLE)
    expected = known[known.claim == claim].dropna(axis="columns").reset_index(drop=True)
    assert len(expected.columns) >= 5
    pd.testing.assert_frame_equal(
        found[expected.columns], expected, rtol=1e-6, atol=1e-9, check_dtype=False
    )


@pytest.mark.slow
@pytest.mark.parametrize("claim", CLAIMS)
def test_the_methods_of_a_claim_do_on_average_what_they_did(claim, tmp_path, data_root):
    assert main(["study", "--config", f"claim_{claim}", f"--folder={tmp_path}"]) == 0
    assert len(pd.read_csv(tmp_path / "runs.csv")) == len(committed(claim))
    found, expected = (
        table.groupby(["method", "run", "epoch"]).agg(["mean", "std"])
        for table in (
            pd.read_csv(tmp_path / "signals.csv").drop(columns="seed"),
            committed(claim, "signals").drop(columns="seed"),
        )
    )
    for name in found.columns.levels[0]:
        # A signal that a method lacks has no mean, and a method that ran once has no scatter.
        mean, mean_then = found[name]["mean"], expected[name]["mean"]
        assert (mean.isna() == mean_then.isna()).all(), name
        scatter = (expected[name]["std"] + found[name]["std"]).dropna()
        moved = (mean - mean_then).abs()[scatter.index]
        assert scatter.empty or (moved <= 2 * scatter + 1e-6).mean() > 0.95, name
