"""The README's table of methods in NAS-Bench-201 is what the study finds today.

It is made by

    lnas study --config nasbench201
    cp runs/nasbench201/{runs.csv,table.md,table.png} docs/nasbench201/

and the table of that `table.md` stands in the README.
"""

from pathlib import Path

import pandas as pd
import pytest

from lnas.benchmarks import NasBench201Benchmark
from lnas.genotype import Genotype
from lnas.runs.training import search
from lnas.studies.command import read_study
from lnas.studies.graph import trials
from lnas.studies.results import Result
from lnas.studies.summary import summarise
from lnas.studies.table import columns, read_table
from lnas.studies.truth import random_choice

ROOT = Path(__file__).parents[2]
TABLES = ROOT / "docs" / "nasbench201"


@pytest.fixture
def study(tmp_path):
    return read_study(["--config", "nasbench201", f"--folder={tmp_path}"])


@pytest.fixture(scope="module")
def runs():
    return pd.read_csv(TABLES / "runs.csv").set_index(["method", "seed", "run"])


def test_the_table_has_the_accuracies_that_the_benchmark_knows_of_the_cells(study, runs, data_root):
    benchmark, results = NasBench201Benchmark(), []
    for trial in trials(study):
        place = trial.method, trial.seed, trial.searches[-1].folder.name
        genotype = Genotype.from_json(runs.loc[place, "genotype"])
        found = benchmark.query(genotype)
        costs = found.parameters, found.multiply_adds, float("nan"), float("nan")
        results.append(Result(*place[:2], 1, found.test_accuracy, *costs, genotype.hash, ""))
    rows = summarise(results, study.reference, random_choice(study, benchmark))
    wanted = columns(rows, study.reference)
    table = read_table(TABLES)
    names = list(table.header)
    assert set(wanted) | {"seconds"} == {*names, "seconds"}
    for name, cells in wanted.items():
        if name != "seconds":
            assert [row[names.index(name)] for row in table.rows] == cells, name


def test_the_readme_shows_that_table():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = (TABLES / "table.md").read_text(encoding="utf-8").splitlines()
    table = "\n".join(line for line in lines if line.startswith("|"))
    assert f"\n{table}\n" in readme


@pytest.mark.slow
def test_a_search_of_the_table_ends_with_the_same_cell_again(study, runs, data_root):
    # One that collapses, whatever the rounding of the machine.
    trial = next(one for one in trials(study) if one.method == "DARTS-PRIME")
    (run,) = trial.searches
    search([*run.arguments(), f"--run.folder={run.folder}"])
    genotype = Genotype.load(trial.genotype)
    assert genotype.hash == runs.loc[(trial.method, trial.seed, "search"), "genotype_hash"]
