"""Project fixes edges inside a fit: on time, for good, resumed to the bit, on ranks the same."""

import json
from dataclasses import asdict
from functools import partial
from importlib import util
from pathlib import Path
from unittest.mock import patch

import pytest
import torch

from lnas.callbacks import DeriveGenotype, Project, derive_genotype
from lnas.callbacks import project as project_file
from lnas.derivation import Decision, OperationStrength, SelectionContext
from lnas.derivation.deciding import Choice
from lnas.errors import InputError
from lnas.relaxations import Uniform
from lnas.search import SearchCallback, WeightsOnly
from lnas.spaces import DartsSpace, NasBench201Space
from lnas.supernet import ConvolutionalSupernet


def tiny_search():
    path = Path(__file__).parents[1] / "search" / "conftest.py"
    spec = util.spec_from_file_location("tiny", path)
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.TinySearch()


class AlwaysFirst:
    """A criterion that decides without looking: the second operation, the first edge."""

    reads_batches = reads_accuracy = False
    topology = "greedy"

    def order(self, context, places):
        return places

    def decide(self, context, draft, place):
        return Choice(1, torch.zeros(1), None, Decision(place[0], str(place[1]), "second", {}))

    def nodes(self, context, kind):
        return OperationStrength().nodes(context, kind)

    def prune(self, context, draft, kind, rows, edges):
        made = Decision(kind, "", None, {})
        return [Choice(row, torch.zeros(1), None, made) for row in rows[: edges - 2]]


def epochs_of_decisions(tmp_path, space, epochs, every):
    """Return (epoch, cell type, whether an operation was decided) of each decision."""
    tiny = tiny_search()
    module = tiny.module(space=space, supernet=partial(ConvolutionalSupernet, channels=2, layers=3))
    trainer = tiny.trainer(tmp_path, max_epochs=epochs)
    module.trainer = trainer
    part, found = Project(0, every, AlwaysFirst()), []
    context = SelectionContext(module.architecture)
    with patch.object(project_file, "selection_context", lambda module: context):
        for epoch in range(epochs):
            trainer.fit_loop.epoch_progress.current.completed = epoch
            before = len(part.decisions)
            part.on_train_epoch_start(trainer, module)
            part.on_train_epoch_start(trainer, module)  # as in a resumed epoch
            news = part.decisions[before:]
            found += [(epoch, d.cell_type, d.operation is not None) for d in news]
    return found, module


def test_81_epochs_decide_the_14_edges_and_three_nodes_of_darts(tmp_path):
    names = [name for name in DartsSpace().operations if name != "none"]
    space = DartsSpace(names)
    found, module = epochs_of_decisions(tmp_path, space, 81, 5)
    operations = [epoch for epoch, kind, chosen in found if chosen and kind == "normal"]
    assert operations == list(range(0, 70, 5))
    removed = [epoch for epoch, kind, chosen in found if not chosen and kind == "reduce"]
    assert removed == [70, 75, 75, 80, 80, 80]
    assert len(found) == 2 * (14 + 6)
    for mask in module.architecture.mask().values():
        kept = [space.edges[row].name for row in mask.any(-1).nonzero().flatten().tolist()]
        assert kept == ["2_0", "2_1", "3_1", "3_2", "4_2", "4_3", "5_3", "5_4"]


class Watch(SearchCallback):
    """Notes what is fixed at the end of each epoch, and that it is one-hot all along."""

    def __init__(self):
        self.fixed = []

    def on_train_batch_end(self, trainer, module, *_):
        for kind, gates in module.architecture.probabilities().items():
            fixed = module.architecture.fixed.get_buffer(kind)
            rows = gates[fixed >= 0]
            assert torch.equal(rows, torch.eye(gates.shape[1]).to(rows)[fixed[fixed >= 0]])
            assert not module.architecture.logits[kind][fixed >= 0].any()

    def on_train_epoch_end(self, trainer, module):
        buffers = [module.architecture.fixed.get_buffer(kind) for kind in module.space.cell_types]
        self.fixed.append(sum(int((fixed >= 0).sum()) for fixed in buffers))


def test_edges_are_fixed_in_time_and_derived(tmp_path):
    tiny, watch, derive = tiny_search(), Watch(), DeriveGenotype()
    part = Project(1, 2, OperationStrength("mask", "accuracy", "random"))
    trainer = tiny.trainer(tmp_path, [part, watch, derive], max_epochs=6)
    module = tiny.module()
    with patch.object(derive_genotype, "draw_genotype"):
        trainer.fit(module, datamodule=tiny.data(images=32))
    assert watch.fixed == [0, 1, 1, 2, 2, 6]
    chosen = {d.edge: d.operation for d in part.decisions}
    found = {f"{n}_{s}": name for n, s, name in derive.genotype.edges("cell")}
    assert found == {edge: name for edge, name in chosen.items() if name != "none"}
    assert json.loads((tmp_path / "decisions.json").read_text()) == [
        asdict(decision) for decision in part.decisions
    ]
    rows = [row for row in trainer.logger.rows if "search/projection_margin" in row]
    assert [row["search/epoch"] for row in rows] == [1, 3, 5]
    assert [row["search/projected_edges"] for row in rows] == [1, 2, 6]
    assert all(row["search/projection_error"] >= 0 for row in rows)


@pytest.mark.parametrize("learned", [True, False])
def test_nodes_of_darts_end_with_two_edges(tmp_path, learned):
    space = DartsSpace(["skip_connect", "avg_pool_3x3"], nodes=3)
    supernet = partial(ConvolutionalSupernet, channels=2, layers=3)
    options = {} if learned else {"relaxation": Uniform(), "strategy": WeightsOnly()}
    part, derive = Project(0, 1, OperationStrength(batches=1)), DeriveGenotype()
    with patch.object(derive_genotype, "draw_genotype"):
        tiny_search().fit(
            tmp_path, [part, derive], trainer={"max_epochs": 1, "limit_train_batches": 1},
            space=space, supernet=supernet, **options,
        )  # fmt: skip
    for kind in space.cell_types:
        kept = {d.edge: d.operation for d in part.decisions if d.operation and d.cell_type == kind}
        gone = {d.edge for d in part.decisions if not d.operation and d.cell_type == kind}
        assert (len(kept), len(gone)) == (9, 3)
        found = {f"{n}_{s}": name for n, s, name in derive.genotype.edges(kind)}
        assert found == {edge: name for edge, name in kept.items() if edge not in gone}
        assert [len(node) for node in derive.genotype.cells[kind]] == [2, 2, 2]


@pytest.mark.parametrize("steps", [2, 3, 5])  # before, at the end of, and behind a projection
def test_a_projecting_search_resumes_bit_for_bit(tmp_path, steps):
    tiny, found = tiny_search(), []
    save = tiny.Save(tmp_path / "a.ckpt", steps)
    for start in (None, save.path):
        module, part = tiny.module(), Project(1, 1, OperationStrength(edge_order="random"))
        trainer = tiny.trainer(
            tmp_path, [part, *([] if start else [save])], max_epochs=3, limit_train_batches=2
        )
        trainer.fit(module, datamodule=tiny.data(), ckpt_path=start, weights_only=True)
        state = {name: value.clone() for name, value in module.state_dict().items()}
        rows = trainer.logger.rows[0 if start else save.rows :]
        found.append((state, part.decisions, rows))
    (state, decisions, rows), (resumed, same, again) = found
    assert len(decisions) == 6
    assert (state["architecture.fixed.cell"] >= 0).all()
    assert [name for name in state if not torch.equal(state[name], resumed[name])] == []
    assert decisions == same
    assert rows == again


def two_ranks(folder):
    tiny, module, part = tiny_search(), tiny_search().module(), Project(0, 1)
    trainer = tiny.trainer(folder, [part], devices=2, strategy="ddp", limit_train_batches=2)
    trainer.fit(module, datamodule=tiny.data())
    state = {n: v.clone() for n, v in module.state_dict().items() if "running" not in n}
    return state, [repr(decision) for decision in part.decisions]


def test_two_ranks_project_the_same(run_two_ranks, tmp_path):
    (first, decisions), (second, same) = run_two_ranks(two_ranks, tmp_path, timeout=600)
    assert decisions == same
    assert (first["architecture.fixed.cell"] >= 0).all()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


@pytest.mark.parametrize("options", [{"start": -1}, {"start": 0, "every": 0}])
def test_wrong_epochs_are_refused(options):
    with pytest.raises(InputError, match="names no epochs"):
        Project(**options)


def test_what_would_decide_nothing_is_refused_at_the_start(tmp_path):
    tiny = tiny_search()
    with pytest.raises(InputError, match="begins behind the last of 2 epochs"):
        tiny.fit(tmp_path, [Project(2)])
    with pytest.raises(InputError, match="Nothing is held out"):
        tiny.fit(tmp_path, [Project(0)], data=tiny.data(held_out=0))


def test_removed_edges_are_gone_whatever_they_were_fixed_to():
    module = tiny_search().module(space=NasBench201Space())
    architecture = module.architecture
    architecture.fix("cell", "2_1", "nor_conv_3x3")
    architecture.remove("cell", "2_1")
    row = module.space.edge_row("2_1")
    assert not architecture.mask()["cell"][row].any()
    assert not architecture.probabilities()["cell"][row].any()
    assert not architecture.noise_free().active["cell"][row].any()
    with pytest.raises(InputError, match="unknown cell type 'normal'"):
        architecture.remove("normal", "2_1")


def test_a_rule_that_compares_strengths_leaves_projection_nothing_to_do():
    with pytest.raises(InputError, match="topology=strength"):
        Project(0, criterion=OperationStrength(topology="strength"))
