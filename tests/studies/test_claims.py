"""The tables behind `notebooks/02_claims.ipynb` are what the claims' studies find today.

They are made by

    for claim in schedule prime collapse snas convergence pr_darts; do
      lnas study --config claim_$claim
      for table in runs signals; do
        cp runs/claim_$claim/$table.csv notebooks/claims/${claim}_$table.csv
      done
    done

A table is out of date when the study, or a config that it names, says something else than it did
then. What nobody stated, a default or the code, is watched by running again: one row of two studies
here, everything in the slow tests. (The hash of all settings would change with each argument that a
class gets, though nothing else does.)
"""

from pathlib import Path

import pandas as pd
import pytest

from lnas.cli.main import main
from lnas.runs.training import evaluate, search
from lnas.studies.command import read_study
from lnas.studies.graph import runs_of, trials
from lnas.studies.plan import RANDOM
from lnas.studies.records import run_record
from lnas.studies.state import space_of, stated_hash
from lnas.studies.study import draw_cell

TABLES = Path(__file__).parents[2] / "notebooks" / "claims"
CLAIMS = sorted(path.stem.removesuffix("_runs") for path in TABLES.glob("*_runs.csv"))
# Other processors add up in another order; what is chosen must not depend on it.
CLOSE = {"rtol": 1e-3, "atol": 1e-5}
HASHES = ["stated_hash", "genotype_hash"]


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


@pytest.mark.parametrize("claim", CLAIMS)
def test_the_committed_runs_are_all_runs_and_what_the_study_states_today(claim, tmp_path):
    _, every = planned(claim, tmp_path)
    expected = {
        (one.method, one.seed, run.folder.name): stated_hash(run)
        for one in every
        for run in one.runs
    }
    rows = committed(claim)
    found = {(row.method, row.seed, row.run): row.stated_hash for row in rows.itertuples()}
    assert list(found) == list(expected)
    changed = [place for place in expected if found[place] != expected[place]]
    assert not changed, f"{changed} were run with other settings; run the study again"
    for column in ("config_hash", *HASHES):
        assert rows[column].str.fullmatch("[0-9a-f]{8,64}").all(), column


def check(claim, trial, run):
    """Compare a run with its row."""
    rows = committed(claim)
    place = (rows.method == trial.method) & (rows.seed == trial.seed)
    row = rows[place & (rows.run == run.folder.name)].iloc[0]
    found = run_record(trial, run, None)
    for name in HASHES:
        assert found[name] == row[name], name
    numbers = [name for name in found if name.startswith(("search/", "arch/", "gate_", "eval/"))]
    assert len(numbers) >= 5
    for name in numbers:
        assert found[name] == pytest.approx(row[name], rel=CLOSE["rtol"], abs=CLOSE["atol"]), name


def test_a_search_of_the_tables_is_found_again(tmp_path):
    _, every = planned("prime", tmp_path)
    trial = next(one for one in every if one.method == "DARTS-PRIME")
    (run,) = runs_of([trial])
    search([*run.arguments(), f"--run.folder={run.folder}"])
    check("prime", trial, run)


def test_a_training_of_the_tables_is_found_again(tmp_path, data_root):
    study, every = planned("convergence", tmp_path)
    trial = next(one for one in every if one.method == RANDOM)
    draw_cell(space_of(study.variants[0]), trial)
    (run,) = trial.runs
    evaluate([*run.arguments(), f"--run.folder={run.folder}"])
    check("convergence", trial, run)


@pytest.mark.slow
@pytest.mark.parametrize("claim", CLAIMS)
def test_the_study_of_a_claim_finds_its_tables_again(claim, tmp_path, data_root):
    assert main(["study", "--config", f"claim_{claim}", f"--folder={tmp_path}"]) == 0
    for table in ("runs", "signals"):
        # The hash of all settings follows the arguments of the classes as well.
        found, expected = (
            rows.drop(columns="config_hash", errors="ignore")
            for rows in (pd.read_csv(tmp_path / f"{table}.csv"), committed(claim, table))
        )
        pd.testing.assert_frame_equal(found, expected, **CLOSE)
