"""A search that stops anywhere and is resumed ends bit for bit where it would have ended."""

import pytest
import torch
from lightning.pytorch import LightningDataModule

from lnas.data import FakeImages
from lnas.errors import InputError
from lnas.relaxations import HardConcrete, OneHot, Proximal, RandomCell, Softmax
from lnas.search import FirstOrder, Joint, SearchCallback, SecondOrder, WeightsOnly
from lnas.spaces import NasBench201Space


class Term(SearchCallback):
    """Withholds every third step and adds a term, which the rows must remember."""

    def should_step_architecture(self, module, step):
        return module.steps % 3 != 1

    def architecture_loss(self, module, step):
        return module.architecture.probabilities()["cell"].square().sum()


class WithoutValidation(FakeImages):
    """A data module of somebody who does not validate."""

    val_dataloader = LightningDataModule.val_dataloader


def everything(module, trainer):
    state = dict(module.state_dict())
    for level, optimizer in enumerate(trainer.optimizers):
        for index, values in optimizer.state_dict()["state"].items():
            state |= {f"{level}/{index}/{name}": value for name, value in values.items()}
        state[f"{level}/rate"] = torch.tensor(optimizer.param_groups[0]["lr"])
    return state


MOMENTS = [
    (2, "batch"), (4, "batch"), (4, "validation"), (4, "epoch"), (5, "batch"), (7, "batch"),
    (8, "batch"), (8, "epoch"),
]  # fmt: skip


def check_resume(tiny, folder, steps, moment, data, strategy, relaxation=Softmax):
    def fit(callbacks, ckpt_path=None):
        module = tiny.module(strategy=strategy(), relaxation=relaxation())
        terms = [Term()] if module.strategy.moves_architecture else []
        trainer = tiny.trainer(folder, [*callbacks, *terms])
        trainer.fit(module, datamodule=data(), ckpt_path=ckpt_path, weights_only=True)
        return module, trainer

    save = tiny.Save(folder / "a.ckpt", steps, moment)
    module, trainer = fit([save])
    resumed, again = fit([tiny.Save(None, -1)], save.path)
    one, other = everything(module, trainer), everything(resumed, again)
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []
    assert trainer.logger.rows[save.rows :] == again.logger.rows
    assert (resumed.steps, resumed.architecture_steps) == (module.steps, module.architecture_steps)
    assert again.global_step == trainer.global_step == 8


@pytest.mark.parametrize(("steps", "moment"), MOMENTS)
def test_a_resumed_search_ends_the_same(tiny, tmp_path, steps, moment):
    check_resume(tiny, tmp_path, steps, moment, tiny.data, FirstOrder)


@pytest.mark.parametrize("strategy", [SecondOrder, Joint])
def test_every_strategy_resumes_in_mid_epoch(tiny, tmp_path, strategy):
    check_resume(tiny, tmp_path, 5, "batch", tiny.data, strategy)


@pytest.mark.parametrize(
    ("relaxation", "strategy"),
    [
        (lambda: HardConcrete(sampler="top2"), FirstOrder),
        (OneHot, FirstOrder),
        (lambda: OneHot(estimator="dsnas"), Joint),
        (lambda: OneHot(estimator="proxyless"), FirstOrder),
        (Proximal, FirstOrder),
        (RandomCell, WeightsOnly),
    ],
)
def test_gates_that_leave_operations_out_resume(tiny, tmp_path, relaxation, strategy):
    check_resume(tiny, tmp_path, 5, "batch", tiny.data, strategy, relaxation)


@pytest.mark.parametrize(("steps", "moment"), [(3, "batch"), (4, "batch"), (4, "epoch")])
@pytest.mark.parametrize("validation", ["empty", "none"])
def test_a_search_without_held_out_images_resumes(tiny, tmp_path, steps, moment, validation):
    def data():
        kind = WithoutValidation if validation == "none" else FakeImages
        return tiny.data(kind, held_out=0, images=40)

    check_resume(tiny, tmp_path, steps, moment, data, FirstOrder)


def saved(tiny, folder):
    save = tiny.Save(folder / "a.ckpt", 2)
    tiny.fit(folder, [save])
    return save.path


def test_a_checkpoint_holds_plain_data(tiny, tmp_path):
    stored = torch.load(saved(tiny, tmp_path), weights_only=True)
    assert stored["search"]["architecture_batches"] == 2
    assert {name.split(".")[0] for name in stored["state_dict"]} == {"supernet", "architecture"}


def test_a_checkpoint_of_another_search_is_refused(tiny, tmp_path):
    path = saved(tiny, tmp_path)
    fewer = NasBench201Space(operations=("none", "skip_connect", "nor_conv_3x3"))
    with pytest.raises(InputError, match="another search space: its operations are"):
        tiny.fit(tmp_path, space=fewer, ckpt_path=path)
    with pytest.raises(InputError, match="seed=0 and this search has seed=1"):
        tiny.fit(tmp_path, seed=1, ckpt_path=path)

    def wider(space, num_classes):
        return type(tiny.module().supernet)(space, channels=8, cells=1, num_classes=num_classes)

    with pytest.raises(InputError, match=r"does not fit this search: supernet\..* here"):
        tiny.fit(tmp_path, supernet=wider, ckpt_path=path)
