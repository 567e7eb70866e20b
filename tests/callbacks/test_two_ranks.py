"""Methods that leave operations inactive, and child validation, on two gloo processes."""

import importlib.util
from pathlib import Path
from unittest.mock import patch

import pytest
import torch

from lnas.callbacks import (
    Anneal,
    ChildValidation,
    DeriveGenotype,
    EarlyFix,
    ResourceCost,
    WiringDiagnostics,
    child_validation,
    derive_genotype,
)
from lnas.relaxations import Concrete, HardConcrete, OneHot
from lnas.schedules import Linear
from lnas.search import FirstOrder, Joint, SearchModule

MEASURES = [f"{who}_{what}" for who in child_validation.TITLES for what in ("loss", "accuracy")]


def tiny_search():
    path = Path(__file__).parents[1] / "search" / "conftest.py"
    spec = importlib.util.spec_from_file_location("tiny", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.TinySearch()


def without_pictures():
    """Leave out what takes most of the time of so small a search."""
    return patch.object(derive_genotype, "draw_genotype")


class FixedStatistics(SearchModule):
    """Normalises with the running averages, which do not move: batches can be split."""

    def run(self, batch, role, sample, statistics_mode="batch", weights=None, state=None):
        return super().run(batch, role, sample, "running", weights, state)


def methods():
    def anneal(start, end):
        return Anneal("temperature", Linear(start, end))

    pr_darts = {"relaxation": HardConcrete(sampler="top2"), "strategy": FirstOrder("weights_first")}
    dsnas = {"relaxation": OneHot(estimator="dsnas"), "strategy": Joint()}
    resource = ResourceCost(estimator="policy_gradient")
    return {
        "gdas": ({"relaxation": OneHot(), "strategy": FirstOrder()}, [anneal(10, 0.1)]),
        "dsnas": (dsnas, [EarlyFix(0.01), WiringDiagnostics(1)]),
        "proxyless": ({"relaxation": OneHot(estimator="proxyless")}, [WiringDiagnostics(2)]),
        "snas": ({"relaxation": Concrete(), "strategy": Joint()}, [anneal(1, 0.03), resource]),
        "top2": (pr_darts, [anneal(1, 0.1)]),
    }


def search_all(folder, devices):
    found, tiny = {}, tiny_search()
    strategy = {"strategy": "ddp"} if devices > 1 else {}
    for name, (options, callbacks) in methods().items():
        module = tiny.module(FixedStatistics, **options)
        ends = [DeriveGenotype(), ChildValidation()]
        trainer = tiny.trainer(
            folder / name, [*callbacks, *ends], precision="64-true", devices=devices, **strategy
        )
        with without_pictures():
            trainer.fit(module, datamodule=tiny.data())
        state = {key: value.clone() for key, value in module.state_dict().items()}
        found[name] = state, trainer.logger.rows, ends[0].genotype.hash
    return found


@pytest.mark.parametrize("method", methods())
def test_a_method_runs_the_operations_that_it_has_drawn(method):
    options, _ = methods()[method]
    module = tiny_search().module(**options)
    sample = module.sample("weights")
    one, two = [1] * 6, [2] * 6
    expected = {"gdas": one, "dsnas": one, "proxyless": one, "top2": two, "snas": None}[method]
    found = None if sample.active is None else sample.active["cell"].sum(-1).tolist()
    assert found == expected


def validate(folder, devices):
    """Search a little, and keep what the three measurements used and gave."""
    tiny, used = tiny_search(), []
    measure = child_validation.measure

    def spy(module, samples, batches, statistics_mode, weights):
        used.append({name: value.clone() for name, value in weights.items()})
        used[-1] |= {"result": measure(module, samples, batches, statistics_mode, weights)}
        return used[-1]["result"]

    strategy = {"strategy": "ddp"} if devices > 1 else {}
    with patch.object(child_validation, "measure", spy), without_pictures():
        trainer = tiny.trainer(
            folder, [DeriveGenotype(), ChildValidation()], precision="64-true", devices=devices,
            **strategy,
        )  # fmt: skip
        module = tiny.module()
        trainer.fit(module, datamodule=tiny.data())
    return used, {name: value.clone() for name, value in module.state_dict().items()}


def both(folder):
    return search_all(folder / "search", 2), validate(folder / "validate", 2)


def test_two_ranks_search_with_inactive_operations_and_validate_as_one(run_two_ranks, tmp_path):
    searches, validations = zip(*run_two_ranks(both, tmp_path), strict=True)
    check_searches(search_all(tmp_path / "one", 1), searches)
    check_validations(*validations)


def check_searches(alone, ranks):
    """Two ranks search as one process does on the same global batches."""
    start = tiny_search().module().architecture.logits["cell"].double()
    for method, (state, rows, genotype) in alone.items():
        (first, logged, derived), (second, nothing, same) = (rank[method] for rank in ranks)
        assert not torch.equal(state["architecture.logits.cell"], start)
        assert genotype == derived == same
        assert nothing == []  # rank 0 logs
        for name, value in state.items():
            torch.testing.assert_close(first[name], value, rtol=1e-10, atol=1e-10)
            assert torch.equal(first[name], second[name]), (method, name)
        for row, expected in zip(logged, rows, strict=True):
            assert row == pytest.approx(expected, rel=1e-5), method
        assert {f"search/final_{name}" for name in MEASURES} <= set(rows[-1])


def check_validations(rank0, rank1):
    """All ranks measure the same networks, with the averages that a checkpoint would hold."""
    (first, state), (second, other) = rank0, rank1
    name = "supernet.stem.bn.running_var"
    assert not torch.equal(state[name], other[name])  # each rank has seen its own images
    for mine, theirs in zip(first, second, strict=True):
        assert mine.keys() == theirs.keys()
        for key, value in mine.items():
            same = value == theirs[key] if key == "result" else torch.equal(value, theirs[key])
            assert same, key
    for used in first[:2]:
        assert torch.equal(used["stem.bn.running_var"], state[name])
    # The stem reads images, so the mean over ranks is that of all images of the stream.
    weight = state["supernet.stem.conv.weight"]
    batches = [images.double() for images, _ in tiny_search().data().calibration_loader()]
    seen = [torch.nn.functional.conv2d(images, weight, padding=1) for images in batches]
    expected = torch.stack([x.mean((0, 2, 3)) for x in seen]).mean(0)
    torch.testing.assert_close(first[2]["stem.bn.running_mean"], expected)
