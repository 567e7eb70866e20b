"""Numbers of the relaxation and the supernet are annealed inside a real search."""

import importlib.util
from functools import partial
from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import Checkpoint

from lnas.callbacks import Anneal, DiscretizationGap
from lnas.errors import InputError
from lnas.relaxations import Concrete, OneHot, Softmax
from lnas.schedules import Linear
from lnas.search import Joint
from lnas.supernet import NasBench201Supernet

_spec = importlib.util.spec_from_file_location(
    "search_conftest", Path(__file__).parents[1] / "search" / "conftest.py"
)
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
TinySearch = _module.TinySearch


def test_temperature_is_annealed_once_an_epoch_as_released(tmp_path):
    # SNAS: 1 -> 0.03, the last epoch runs at the end of the line.
    tiny = TinySearch()
    callback = Anneal("temperature", Linear(1.0, 0.03))
    trainer = tiny.trainer(tmp_path, [callback], max_epochs=4, log_every_n_steps=1)
    module = tiny.module(relaxation=Concrete(), strategy=Joint())
    trainer.fit(module, datamodule=tiny.data())
    seen = {row["search/temperature"] for row in trainer.logger.rows if "search/temperature" in row}
    assert sorted(seen) == pytest.approx([0.03, 0.2725, 0.515, 0.7575])
    assert float(module.architecture.relaxation.temperature) == pytest.approx(0.03)


def test_a_number_of_the_supernet_is_annealed_and_resumes(tmp_path):
    # DARTS-: beta(e) = 1 - e / epochs; a child measured on the way does not feel it.
    tiny = TinySearch()
    supernet = partial(NasBench201Supernet, channels=4, cells=1, auxiliary_skip=1.0)

    class Look(Checkpoint):
        def on_train_batch_end(self, trainer, module, *_):
            self.seen.append(float(module.supernet.auxiliary_skip))
            if module.steps == 9:
                trainer.save_checkpoint(tmp_path / "a.ckpt")

    def fit(ckpt_path=None):
        look, module = Look(), tiny.module(supernet=supernet)
        look.seen = []
        anneal = Anneal("auxiliary_skip", Linear(1.0, 0.0), reach="start")
        trainer = tiny.trainer(tmp_path, [anneal, look, DiscretizationGap()], max_epochs=4)
        trainer.fit(module, datamodule=tiny.data(), ckpt_path=ckpt_path, weights_only=True)
        return look.seen, module, trainer.logger.rows

    seen, module, rows = fit()
    assert seen == [1.0] * 4 + [0.75] * 4 + [0.5] * 4 + [0.25] * 4
    logged = {row["search/auxiliary_skip"] for row in rows if "search/auxiliary_skip" in row}
    assert logged == {1.0, 0.75, 0.5, 0.25}
    assert len({row["search/gap_loss"] for row in rows if "search/gap_loss" in row}) == 4
    again, resumed, rows = fit(tmp_path / "a.ckpt")
    assert again == seen[9:]
    logged = {row["search/auxiliary_skip"] for row in rows if "search/auxiliary_skip" in row}
    assert logged == {0.5, 0.25}
    other = resumed.state_dict()
    assert [n for n, v in module.state_dict().items() if not torch.equal(v, other[n])] == []


@pytest.mark.parametrize("relaxation", [Softmax(), OneHot(estimator="dsnas")])
def test_what_cannot_be_annealed_is_refused(tmp_path, relaxation):
    tiny = TinySearch()
    trainer = tiny.trainer(tmp_path, [Anneal("temperature", Linear(1.0, 0.0))])
    reason = f"{type(relaxation).__name__} has no 'temperature' to anneal"
    with pytest.raises(InputError, match=reason):
        trainer.fit(tiny.module(relaxation=relaxation), datamodule=tiny.data())
