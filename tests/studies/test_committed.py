"""The tables of studies that stand in the project are of all their runs, as they are stated today.

A table is out of date when the study, or a config that it names, says something else than it did
then; then run it again, and copy its tables:

    lnas study --config STUDY
    cp runs/STUDY/{runs.csv,...} FOLDER/

What nobody stated, a default or the code, is watched by running again: see the tests beside this
one. (The hash of all settings would change with each argument that a class gets, though nothing
else does.)
"""

from pathlib import Path

import pandas as pd
import pytest

from lnas.studies.command import read_study
from lnas.studies.graph import trials
from lnas.studies.state import stated_hash

ROOT = Path(__file__).parents[2]
CLAIMS = {
    f"claim_{path.stem.removesuffix('_runs')}": path
    for path in sorted((ROOT / "notebooks" / "claims").glob("*_runs.csv"))
}
TABLES = {
    **CLAIMS,
    "language": ROOT / "notebooks" / "language" / "runs.csv",
    "nasbench201": ROOT / "docs" / "nasbench201" / "runs.csv",
    "nasbench201_scale": ROOT / "docs" / "nasbench201_scale" / "runs.csv",
    "selection": ROOT / "notebooks" / "selection" / "runs.csv",
    "wiring": ROOT / "notebooks" / "wiring" / "runs.csv",
}

# At the papers' size, which takes a GPU days; and the first thing that a newcomer runs.
WITHOUT = {"p_darts", "prime_cifar10", "prime_cifar100", "robust_darts_ada", "quickstart"}


def test_every_study_that_ships_has_its_table():
    shipped = {path.stem for path in (ROOT / "configs" / "study").glob("*.yaml")}
    assert shipped == {*TABLES, *WITHOUT}


@pytest.mark.parametrize("name", TABLES)
def test_the_committed_runs_are_all_runs_and_what_the_study_states_today(name, tmp_path):
    study = read_study(["--config", name, f"--folder={tmp_path}"])
    expected = {
        (trial.method, trial.seed, run.folder.name): stated_hash(run)
        for trial in trials(study)
        for run in trial.runs
    }
    rows = pd.read_csv(TABLES[name])
    found = {(row.method, row.seed, row.run): row.stated_hash for row in rows.itertuples()}
    assert list(found) == list(expected)
    changed = [place for place in expected if found[place] != expected[place]]
    assert not changed, f"{changed} were run with other settings; run the study again"
    for column in ("config_hash", "stated_hash", "genotype_hash"):
        assert rows[column].str.fullmatch("[0-9a-f]{8,64}").all(), column
