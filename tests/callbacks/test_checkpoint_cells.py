"""Checkpointed cells: the same search with less memory; and searches in half precision."""

import copy
from functools import partial

import pytest
import torch
from lightning.pytorch import Callback

from lnas.callbacks import CheckpointCells, CompileCells, HessianEigenvalue
from lnas.data import FakeImages, FakeText
from lnas.errors import InputError
from lnas.search import FirstOrder, Joint, SearchModule, SecondOrder
from lnas.spaces import DartsSpace, RecurrentSpace
from lnas.supernet import ConvolutionalSupernet, RecurrentSupernet
from lnas.supernet.base import plain
from lnas.supernet.checkpointed import checkpointed
from lnas.tasks import ImageExamples

OPERATIONS = ("none", "max_pool_3x3", "skip_connect", "sep_conv_3x3", "dil_conv_5x5")
CALLBACKS = {"without": (), "with": (CheckpointCells,)}


class Called(Callback):
    """Notes how cells are called while a search trains."""

    def on_train_start(self, trainer, pl_module):
        pl_module.called = pl_module.supernet.cell_call


def searched(trainer, strategy, callbacks, **options):
    """Return the module after a search of two batches."""
    supernet = partial(ConvolutionalSupernet, channels=4, layers=3, drop_path=0.3, skip_dropout=0.2)
    module = SearchModule(
        DartsSpace(OPERATIONS, nodes=2), supernet, strategy=strategy, examples=ImageExamples(4)
    )
    data = FakeImages(images=40, shape=(3, 8, 8), num_classes=4, batch_size=4, held_out=8)
    parts = [*(kind() for kind in callbacks), Called()]
    made = trainer(*parts, limit_train_batches=2, **options)
    made.fit(module, datamodule=data)
    return module


@pytest.mark.parametrize(
    "strategy",
    [FirstOrder(), SecondOrder(), SecondOrder("exact"), Joint()],
    ids=["first", "second", "exact", "joint"],
)
def test_a_search_goes_the_same_way(strategy, small_trainer):
    double = {"loggers": False, "precision": "64-true"}
    found = [searched(small_trainer, strategy, parts, **double) for parts in CALLBACKS.values()]
    expected, mine = (module.state_dict() for module in found)
    torch.testing.assert_close(mine, expected, rtol=1e-9, atol=1e-10)
    assert [module.called for module in found] == [plain, checkpointed]
    assert found[1].supernet.cell_call is plain  # the next fit is another one


def test_the_eigenvalue_of_the_hessian_is_what_it_was(small_trainer):
    found = []
    for parts in CALLBACKS.values():
        eigenvalue = HessianEigenvalue(every=1)
        options = {"loggers": False, "precision": "64-true"}
        searched(small_trainer, FirstOrder(), [*parts, lambda e=eigenvalue: e], **options)
        found.append(eigenvalue.history)
    assert len(found[0]) == 1
    assert found[1] == [(epoch, pytest.approx(value)) for epoch, value in found[0]]


@pytest.mark.parametrize("callbacks", CALLBACKS.values(), ids=CALLBACKS)
def test_a_search_steps_in_bfloat16(callbacks, small_trainer):
    start = searched(small_trainer, FirstOrder(), (), loggers=False)
    module = searched(small_trainer, FirstOrder(), callbacks, loggers=False, precision="bf16-mixed")
    for name, value in module.state_dict().items():
        assert value.isfinite().all(), name
        assert value.dtype == start.state_dict()[name].dtype
    logits = [one.architecture.logits["normal"].detach() for one in (start, module)]
    assert not torch.equal(*logits)  # another precision
    torch.testing.assert_close(*logits, atol=2e-3, rtol=0)


def test_a_supernet_without_a_stack_of_cells_is_refused(small_trainer):
    module = SearchModule(
        RecurrentSpace(nodes=2), partial(RecurrentSupernet, units=4), examples=FakeText().examples
    )
    with pytest.raises(InputError, match="leave the callback out"):
        CheckpointCells().setup(small_trainer(), module, "fit")


def test_copies_of_a_search_and_its_checkpoints_know_nothing_of_it(small_trainer):
    module = searched(small_trainer, FirstOrder(), (CheckpointCells,), loggers=False)
    other = searched(small_trainer, FirstOrder(), (), loggers=False)
    assert list(module.state_dict()) == list(other.state_dict())
    pair = module.supernet.parameters(), copy.deepcopy(module.supernet).parameters()
    assert all(a is not b for a, b in zip(*pair, strict=True))


def test_cells_are_called_one_way_only(small_trainer, small_module):
    module, compiling = small_module(), CompileCells()
    compiling.setup(small_trainer(), module, "fit")
    assert module.supernet.cell_call is compiling.cells
    with pytest.raises(InputError, match="choose one of CheckpointCells"):
        CheckpointCells().setup(small_trainer(), module, "fit")
    compiling.teardown(small_trainer(), module, "fit")
    CheckpointCells().setup(small_trainer(), module, "fit")
    assert module.supernet.cell_call is checkpointed
