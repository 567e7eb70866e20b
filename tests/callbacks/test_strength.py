"""Operation strength in a search: it changes nothing, and two ranks decide the same."""

import json
from functools import partial
from importlib import util
from pathlib import Path
from unittest.mock import patch

import pytest
import torch

from lnas.callbacks import DeriveGenotype, derive_genotype
from lnas.callbacks.derive_genotype import selection_context
from lnas.derivation import OperationStrength, RestrictedSkips
from lnas.errors import InputError
from lnas.relaxations import HardConcrete
from lnas.spaces import DartsSpace
from lnas.supernet import ConvolutionalSupernet


def tiny_search():
    path = Path(__file__).parents[1] / "search" / "conftest.py"
    spec = util.spec_from_file_location("tiny", path)
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.TinySearch()


def derived(folder, criterion, **options):
    tiny, derive = tiny_search(), DeriveGenotype(criterion)
    trained = {"precision": "64-true", "max_epochs": 1} | options.pop("trainer", {})
    with patch.object(derive_genotype, "draw_genotype"):
        module = tiny.fit(folder, [derive], trainer=trained, **options)
    return module, derive.genotype


@pytest.mark.parametrize("mode", ["select", "mask"])
@pytest.mark.parametrize("noisy", [False, True])
def test_scoring_changes_nothing_and_comes_out_the_same_again(tmp_path, mode, noisy):
    space = DartsSpace(["noise", "skip_connect", "sep_conv_3x3"], nodes=2)
    supernet = partial(ConvolutionalSupernet, channels=2, layers=3, drop_path=0.3)
    relaxation = HardConcrete() if noisy else None
    module, genotype = derived(
        tmp_path, OperationStrength(mode), space=space, supernet=supernet, relaxation=relaxation
    )
    module.train()
    module.supernet.cells[1].eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    flags = [part.training for part in module.modules()]
    state, steps = torch.get_rng_state(), module.steps
    criterion = OperationStrength(mode)
    scores = [criterion.scores(selection_context(module)) for _ in range(2)]
    assert all(torch.equal(scores[0][name], scores[1][name]) for name in scores[0])
    assert space.derive(scores[0]) == genotype
    assert torch.equal(torch.get_rng_state(), state)
    assert [part.training for part in module.modules()] == flags
    after = module.state_dict()
    assert [name for name, value in before.items() if not torch.equal(value, after[name])] == []
    assert all(parameter.grad is None for parameter in module.parameters())
    assert module.steps == steps


def test_decisions_are_written_with_their_margins(tmp_path, capsys):
    _, genotype = derived(tmp_path, OperationStrength("mask", "accuracy", "random"))
    decisions = json.loads((tmp_path / "decisions.json").read_text())
    assert sorted(d["edge"] for d in decisions) == ["1_0", "2_0", "2_1", "3_0", "3_1", "3_2"]
    chosen = {d["edge"]: d["operation"] for d in decisions}
    for node, source, operation in genotype.edges("cell"):
        assert chosen[f"{node}_{source}"] == operation
    assert all(d["margin"] >= 0 and d["margin_error"] >= 0 for d in decisions)
    assert "6 edges decided" in capsys.readouterr().out


def two_ranks(folder):
    trainer = {"devices": 2, "strategy": "ddp"}
    criterion = OperationStrength(edge_order="random")
    _, genotype = derived(folder, criterion, trainer=trainer)
    return genotype.to_json(), [repr(decision) for decision in criterion.decisions]


def test_two_ranks_decide_the_same(run_two_ranks, tmp_path):
    (first, decisions), (second, same) = run_two_ranks(two_ranks, tmp_path, timeout=600)
    assert first == second
    assert decisions == same
    assert len(decisions) == 6


@pytest.mark.parametrize("nested", [False, True])
def test_a_search_that_holds_nothing_out_is_refused_at_its_start(tmp_path, nested):
    criterion = OperationStrength()
    if nested:
        criterion = RestrictedSkips(2, "cell", criterion)
    with pytest.raises(InputError, match="Nothing is held out"):
        derived(tmp_path, criterion, data=tiny_search().data(held_out=0))


def test_an_accuracy_is_asked_only_of_tasks_that_have_one(tmp_path):
    path = Path(__file__).parents[1] / "search" / "recurrent.py"
    spec = util.spec_from_file_location("recurrent", path)
    recurrent = util.module_from_spec(spec)
    spec.loader.exec_module(recurrent)
    module, derive = recurrent.module(), DeriveGenotype(OperationStrength(criterion="accuracy"))
    trainer = tiny_search().trainer(tmp_path, [derive])
    with pytest.raises(InputError, match="has a perplexity; use criterion='loss'"):
        trainer.fit(module, datamodule=recurrent.data())
