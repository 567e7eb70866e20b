"""What is pruned stays closed, never runs again, resumes, and is the same on all ranks."""

import json
from collections import Counter
from functools import partial
from importlib import util
from pathlib import Path

import pytest
import torch

from lnas.callbacks import (
    CollapseWarning,
    DiscretizationGap,
    GenotypeTrail,
    Proximity,
    PruneClosed,
)
from lnas.errors import InputError
from lnas.genotype import Genotype
from lnas.relaxations import ClippedReLU, Proximal, Softmax
from lnas.search import FirstOrder, Joint, SearchCallback, SecondOrder
from lnas.spaces import NasBench201Space
from lnas.supernet import NasBench201Supernet


def tiny_search():
    path = Path(__file__).parents[1] / "search" / "conftest.py"
    spec = util.spec_from_file_location("tiny", path)
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.TinySearch()


SPACE = NasBench201Space([name for name in NasBench201Space().operations if name != "none"])


def pruning_search(**options):
    made = {"space": SPACE, "relaxation": ClippedReLU(), "seed": 3}
    made["supernet"] = partial(NasBench201Supernet, channels=4, cells=1, node_norm=True)
    made["architecture_optimizer"] = partial(torch.optim.Adam, lr=0.15, weight_decay=0.1)
    return tiny_search().module(**made | options)


class Watch(SearchCallback):
    """Notes closed entries and logits behind each batch, and which operations ran in it."""

    def __init__(self):
        self.closed, self.ran, self.now = [], [], Counter()

    def on_fit_start(self, trainer, module):
        for row, edge in enumerate(module.space.edges):
            for name, operation in module.supernet.cells[0].edges[edge.name].items():
                place = row, module.space.operations.index(name)
                operation.register_forward_hook(lambda *_, place=place: self.now.update([place]))

    def on_train_batch_start(self, trainer, module, *_):
        self.now.clear()

    def on_train_batch_end(self, trainer, module, *_):
        self.closed.append(module.architecture.closed.get_buffer("cell").clone())
        self.ran.append(Counter(self.now))
        logits = module.architecture.logits["cell"]
        assert not logits[self.closed[-1]].any()
        assert (logits[~self.closed[-1]] > 0).all()

    def on_validation_start(self, trainer, module):
        self.now.clear()

    def on_validation_end(self, trainer, module):
        open_ = module.architecture.mask()["cell"]
        assert set(self.now) == set(map(tuple, open_.nonzero().tolist()))


class Lift(SearchCallback):
    """Pulls every logit up in the second epoch, so that a closed one would open if it could."""

    def architecture_loss(self, module, step):
        pull = -10.0 if step.epoch else 0.0
        return pull * sum(logits.sum() for logits in module.architecture.logits.values())


@pytest.mark.parametrize("path", ["fused", "reference"])
@pytest.mark.parametrize(
    "strategy", [FirstOrder(), FirstOrder("weights_first"), SecondOrder(), Joint()]
)
def test_closed_operations_stay_closed_and_never_run(tmp_path, strategy, path):
    tiny, watch, module = tiny_search(), Watch(), pruning_search(strategy=strategy)
    module.supernet.path = path
    trainer = tiny.trainer(tmp_path, [PruneClosed(), Lift(), watch], log_every_n_steps=1)
    trainer.fit(module, datamodule=tiny.data())
    counts = [int(closed.sum()) for closed in watch.closed]
    assert 0 < counts[-1] < 24
    passes = {"FirstOrder": 2, "SecondOrder": 5, "Joint": 1}[type(strategy).__name__]
    before = torch.zeros(6, 4, dtype=torch.bool)
    for closed, ran in zip(watch.closed, watch.ran, strict=True):
        assert (closed | ~before).all()  # nothing opens again
        for row in range(6):
            for column in range(4):
                assert ran[row, column] == (0 if before[row, column] else passes)
        before = closed
    rows = [row for row in trainer.logger.rows if "search/open_operations" in row]
    # A batch's row tells what was open in it; the epoch's row what is open behind it.
    assert rows[0]["search/open_operations"] == 24
    assert rows[-1]["search/open_operations"] == 24 - counts[-1]


def test_a_pruned_search_resumes_bit_for_bit(tmp_path):
    tiny, found = tiny_search(), []
    save = tiny.Save(tmp_path / "a.ckpt", 3)
    for start in (None, tmp_path / "a.ckpt"):
        module = pruning_search()
        callbacks = [PruneClosed(), Lift(), *([] if start else [save])]
        trainer = tiny.trainer(tmp_path, callbacks, log_every_n_steps=1)
        trainer.fit(module, datamodule=tiny.data(), ckpt_path=start, weights_only=True)
        found.append((module.state_dict(), trainer.logger.rows[0 if start else save.rows :]))
    (state, rows), (resumed, again) = found
    assert state["architecture.closed.cell"].any()
    assert [name for name in state if not torch.equal(state[name], resumed[name])] == []
    assert rows == again


def two_ranks(folder):
    tiny, module = tiny_search(), pruning_search()
    trainer = tiny.trainer(folder, [PruneClosed(), Lift()], devices=2, strategy="ddp")
    trainer.fit(module, datamodule=tiny.data())
    return {n: v.clone() for n, v in module.state_dict().items() if "running" not in n}


def test_two_ranks_close_the_same_operations(run_two_ranks, tmp_path):
    first, second = run_two_ranks(two_ranks, tmp_path, timeout=120)
    assert 0 < first["architecture.closed.cell"].sum() < 24
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


@pytest.mark.parametrize("relaxation", [Softmax(), Proximal()])
def test_gates_that_do_not_close_are_refused(relaxation, tmp_path):
    trainer = tiny_search().trainer(tmp_path, [PruneClosed()])
    with pytest.raises(InputError, match=f"those of {type(relaxation).__name__} stay above 0"):
        trainer.fit(pruning_search(relaxation=relaxation), datamodule=tiny_search().data())


def test_everything_that_derives_respects_what_is_closed(tmp_path):
    tiny, module = tiny_search(), pruning_search()
    with torch.no_grad():  # what is closed would have won
        module.architecture.logits["cell"][:, 0] = 0.9
    shut = torch.zeros(6, 4, dtype=torch.bool)
    shut[:, 0] = True
    shut[2] = True
    module.architecture.close_all({"cell": shut})
    gap, trail = DiscretizationGap(), GenotypeTrail(0)
    parts = [Proximity(), PruneClosed(), gap, trail, CollapseWarning()]
    trainer = tiny.trainer(tmp_path, parts)
    trainer.fit(module, datamodule=tiny.data())
    for line in (tmp_path / "genotypes.jsonl").read_text().splitlines():
        cell = Genotype.from_json(json.dumps(json.loads(line)["genotype"]))
        chosen = cell.edges("cell")
        assert len(chosen) == 5
        assert all((node, source) != (2, 1) for node, source, _ in chosen)
        assert all(operation != SPACE.operations[0] for _, _, operation in chosen)
    skips = [row["arch/cell/skips"] for row in trainer.logger.rows if "arch/cell/skips" in row]
    assert skips == [0, 0]
    assert any("search/gap_loss" in row for row in trainer.logger.rows)
