"""An edge that is decided is fixed when an epoch begins, stays so, and resumes."""

from functools import partial
from importlib import util
from pathlib import Path

import pytest
import torch

from lnas.callbacks import EarlyFix
from lnas.callbacks.early_fix import fix_decided
from lnas.errors import InputError
from lnas.relaxations import OneHot, Sigmoid, Softmax
from lnas.search import Joint, SearchCallback, WeightsOnly
from lnas.spaces import NasBench201Space
from lnas.supernet import Architecture

_path = Path(__file__).parents[1] / "search" / "conftest.py"
_spec = util.spec_from_file_location("tiny", _path)
_module = util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
tiny = _module.TinySearch()


def dsnas_search():
    # At this rate edges part within an epoch.
    adam = partial(torch.optim.Adam, lr=0.2)
    relaxation = OneHot(estimator="dsnas")
    return tiny.module(relaxation=relaxation, strategy=Joint(), architecture_optimizer=adam, seed=1)


def test_the_lead_that_decides_an_edge_is_that_of_equation_8():
    architecture = Architecture(NasBench201Space(), Softmax())
    rows = [[0.6, 0.3, 0.05, 0.03, 0.02], [0.61, 0.3, 0.03, 0.03, 0.03]]
    rows += [[0.3, 0.59, 0.05, 0.03, 0.03], [0.2] * 5, [0.05, 0.03, 0.02, 0.3, 0.6]]
    rows += [[0.02, 0.95, 0.01, 0.01, 0.01]]
    with torch.no_grad():
        architecture.logits["cell"].copy_(torch.tensor(rows).log())
    architecture.fix("cell", 5, 0)  # decided otherwise before
    fix_decided(architecture, 0.3)
    assert architecture.fixed.get_buffer("cell").tolist() == [0, 0, -1, -1, 4, 0]
    fix_decided(architecture, 0.29)
    assert architecture.fixed.get_buffer("cell").tolist() == [0, 0, 1, -1, 4, 0]


class Watch(SearchCallback):
    """Notes what is fixed behind each batch; no gradient reaches a fixed row."""

    def __init__(self):
        self.fixed = []

    def on_train_batch_end(self, trainer, module, *_):
        fixed = module.architecture.fixed.get_buffer("cell").clone()
        self.fixed.append(fixed.tolist())
        assert not module.architecture.logits["cell"][fixed >= 0].any()
        gates = module.sample("check").gates["cell"]
        rows = torch.nn.functional.one_hot(fixed.clamp(min=0), gates.shape[1]).to(gates)
        assert torch.equal(gates[fixed >= 0], rows[fixed >= 0])


def test_edges_are_fixed_when_an_epoch_begins_and_stay_so(tmp_path):
    watch, module = Watch(), dsnas_search()
    trainer = tiny.trainer(tmp_path, [EarlyFix(0.1), watch], max_epochs=4, log_every_n_steps=1)
    trainer.fit(module, datamodule=tiny.data())
    per_epoch = [watch.fixed[4 * epoch : 4 * epoch + 4] for epoch in range(4)]
    assert all(batch == batches[0] for batches in per_epoch for batch in batches)
    assert watch.fixed[0] == [-1] * 6
    assert -1 in watch.fixed[4]
    counts = [sum(column >= 0 for column in batches[0]) for batches in per_epoch]
    assert 0 < counts[1] <= counts[2] <= counts[3]
    for before, after in zip(watch.fixed, watch.fixed[1:], strict=False):
        assert all(old in (-1, new) for old, new in zip(before, after, strict=True))
    logged = [r["search/fixed_edges"] for r in trainer.logger.rows if "search/fixed_edges" in r]
    assert sorted(set(logged)) == sorted(set(map(float, counts)))


@pytest.mark.parametrize(("steps", "moment"), [(4, "epoch"), (6, "batch")])
def test_a_search_that_fixes_edges_resumes_bit_for_bit(tmp_path, steps, moment):
    save, found = tiny.Save(tmp_path / "a.ckpt", steps, moment), []
    for start in (None, tmp_path / "a.ckpt"):
        module = dsnas_search()
        callbacks = [EarlyFix(0.1), *([] if start else [save])]
        trainer = tiny.trainer(tmp_path, callbacks, max_epochs=3, log_every_n_steps=1)
        trainer.fit(module, datamodule=tiny.data(), ckpt_path=start, weights_only=True)
        found.append((module.state_dict(), trainer.logger.rows[0 if start else save.rows :]))
    (state, rows), (resumed, again) = found
    assert (state["architecture.fixed.cell"] >= 0).any()
    assert [name for name in state if not torch.equal(state[name], resumed[name])] == []
    assert rows == again


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"strategy": WeightsOnly()}, "WeightsOnly never moves them"),
        ({"relaxation": Sigmoid()}, "gates of Sigmoid do not share an edge out"),
    ],
)
def test_searches_that_never_decide_are_refused(tmp_path, options, reason):
    trainer = tiny.trainer(tmp_path, [EarlyFix()])
    with pytest.raises(InputError, match=reason):
        trainer.fit(tiny.module(**options), datamodule=tiny.data())


@pytest.mark.parametrize("threshold", [0.0, 1.1])
def test_a_threshold_out_of_range_is_refused(threshold):
    with pytest.raises(InputError, match="no difference of probabilities"):
        EarlyFix(threshold)
