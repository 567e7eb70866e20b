"""The tables behind `notebooks/02_claims.ipynb` are what the claims' studies find today.

They are made by

    for claim in prime snas pr_darts convergence collapse; do
      lnas study --config claim_$claim
      for table in runs signals; do
        cp runs/claim_$claim/$table.csv notebooks/claims/${claim}_$table.csv
      done
    done
"""

from pathlib import Path

import pandas as pd
import pytest

from lnas.callbacks.run_card import config_hash
from lnas.cli.main import main
from lnas.runs.training import search
from lnas.studies.command import read_study
from lnas.studies.graph import runs_of, trials
from lnas.studies.records import run_record
from lnas.studies.state import effective_settings

TABLES = Path(__file__).parents[2] / "notebooks" / "claims"
CLAIMS = sorted(path.stem.removesuffix("_runs") for path in TABLES.glob("*_runs.csv"))
# Other processors add up in another order; what is chosen must not depend on it.
CLOSE = {"rtol": 1e-3, "atol": 1e-5}


def planned(claim, folder):
    study = read_study(["--config", f"claim_{claim}", f"--folder={folder}"])
    return list(trials(study))


def settings_hash(run):
    settings = effective_settings(run)
    return config_hash({name: value for name, value in settings.items() if name != "genotype"})


def committed(claim, table="runs"):
    return pd.read_csv(TABLES / f"{claim}_{table}.csv")


def test_every_claim_has_its_tables():
    studies = (TABLES.parents[1] / "configs" / "study").glob("claim_*.yaml")
    assert sorted(path.stem.removeprefix("claim_") for path in studies) == CLAIMS
    assert len(CLAIMS) == 5


@pytest.mark.parametrize("claim", CLAIMS)
def test_the_committed_runs_are_all_runs_and_have_the_settings_of_today(claim, tmp_path):
    every = planned(claim, tmp_path)
    rows = committed(claim)
    expected = [(one.method, one.seed, run.folder.name) for one in every for run in one.runs]
    assert list(rows[["method", "seed", "run"]].itertuples(index=False, name=None)) == expected
    hashes = {
        (one.method, one.seed, run.folder.name): settings_hash(run)
        for one in every
        for run in one.runs
    }
    for row in rows.itertuples():
        place = (row.method, row.seed, row.run)
        assert row.config_hash == hashes[place], f"{place} was run with other settings"


@pytest.mark.parametrize("method", ["DARTS"])
def test_a_row_of_the_table_is_found_again(method, tmp_path):
    trial = next(one for one in planned("prime", tmp_path) if one.method == method)
    (run,) = runs_of([trial])
    search([*run.arguments(), f"--run.folder={run.folder}"])
    rows = committed("prime")
    row = rows[(rows.method == method) & (rows.seed == trial.seed)].iloc[0]
    found = run_record(trial, run, None)
    assert found["config_hash"] == row["config_hash"]
    assert found["genotype_hash"] == row["genotype_hash"]
    numbers = [name for name in found if name.startswith(("search/", "arch/", "gate_"))]
    assert len(numbers) > 10
    for name in numbers:
        assert found[name] == pytest.approx(row[name], rel=CLOSE["rtol"], abs=CLOSE["atol"]), name


@pytest.mark.slow
@pytest.mark.parametrize("claim", CLAIMS)
def test_the_study_of_a_claim_finds_its_tables_again(claim, tmp_path, data_root):
    assert main(["study", "--config", f"claim_{claim}", f"--folder={tmp_path}"]) == 0
    for table in ("runs", "signals"):
        found = pd.read_csv(tmp_path / f"{table}.csv")
        expected = committed(claim, table)
        pd.testing.assert_frame_equal(found, expected, **CLOSE)
