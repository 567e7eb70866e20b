"""The shipped studies say what they are, and every search of theirs can be set up."""

from pathlib import Path

import pytest
import yaml

from lnas.runs.training import settings_of
from lnas.studies.command import read_study
from lnas.studies.graph import trials

STUDIES = Path(__file__).parents[2] / "configs" / "study"
C10 = {
    "DARTS", "+CS10", "+FIMT", "+PR", "DARTS-PRIME", "+CRB", "+FIMT+CRB", "DARTS-PRIME+CRB",
    "+ADMM", "+ADMM+FIMT", "+ADMM+FIMT+CRB",
}  # fmt: skip
C100 = {"DARTS", "+FIMT", "+PR", "DARTS-PRIME", "DARTS-PRIME+CRB"}


@pytest.mark.parametrize(
    ("name", "data", "rows"),
    [("prime_cifar10", "CIFAR10", C10), ("prime_cifar100", "CIFAR100", C100)],
)
def test_the_tables_of_darts_prime_hold_their_rows_with_the_papers_parts(name, data, rows):
    study = yaml.safe_load((STUDIES / f"{name}.yaml").read_text())
    assert study["seeds"] == [101, 102, 103, 104]
    assert {variant["name"] for variant in study["variants"]} == rows
    for variant in study["variants"]:
        configs = [f"--config={config}" for config in variant["search"]["configs"]]
        options = [f"--{name}={n}" for name, n in variant["search"]["options"].items()]
        found = settings_of("search", [*configs, *options])
        row, parts = variant["name"], {c["class_path"].split(".")[-1] for c in callbacks(found)}
        fimt = "FIMT" in row or "PRIME" in row
        assert ("FisherSchedule" in parts) == fimt, row
        assert ("ConstantSchedule" in parts) == ("CS10" in row), row
        assert ("Proximity" in parts) == ("PR" in row), row
        assert ("ADMM" in parts) == ("ADMM" in row), row
        assert ("PruneClosed" in parts) == ("CRB" in row), row
        relaxation = found["model"]["relaxation"]["class_path"].split(".")[-1]
        assert relaxation == ("ClippedReLU" if "CRB" in row else "Softmax"), row
        decay = found["model"]["architecture_optimizer"]["init_args"]["weight_decay"]
        assert decay == (0 if "CRB" in row else 1e-3), row
        streams = found["data"]["init_args"]
        assert found["data"]["class_path"] == f"lnas.data.{data}"
        assert streams["held_out"] == 0
        share = 1 / 11 if fimt or "CS10" in row else 0.5
        assert streams["architecture_fraction"] == pytest.approx(share), row
        assert found["trainer"]["max_epochs"] == 50


def callbacks(settings):
    return settings["trainer"]["callbacks"]


@pytest.mark.parametrize("name", ["nasbench201", "selection"])
def test_a_criterion_inherits_nothing_from_the_one_that_the_search_ends_with(name, data_root):
    study = read_study(["--config", name])
    derived = {
        run.title: run for trial in trials(study) for run in trial.runs if run.kind == "derive"
    }
    assert derived
    for title, run in derived.items():
        (callback,) = callbacks(settings_of("search", [*run.after.options, *run.options]))
        criterion = callback["init_args"]["criterion"]
        if "magnitude" in title:
            assert criterion["class_path"] == "lnas.derivation.Magnitude"
            continue
        found = criterion["init_args"]
        mask = {"mode": "mask", "criterion": "accuracy", "edge_order": "random"}
        select = {"mode": "select", "criterion": "loss", "edge_order": "topological"}
        assert found.items() >= (mask if "mask" in title else select).items(), title
