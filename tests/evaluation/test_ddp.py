"""Two gloo processes train as one process does on the same global batches."""

from importlib import util
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback

from lnas.callbacks import Checkpoints
from lnas.errors import NonFiniteError
from lnas.evaluation import EvaluationModule
from lnas.genotype import Genotype
from lnas.loggers import read_rows
from lnas.networks import NasBench201Network
from lnas.operations.normalization import statistics
from lnas.tasks import ImageClassification


class FixedStatistics(EvaluationModule):
    """Normalises with the running averages, which do not move: batches can be split."""

    def _call(self, inputs, state):
        with statistics(self.network, "running"):
            return super()._call(inputs, state)


def tiny_evaluation():
    spec = util.spec_from_file_location("tiny", Path(__file__).parent / "tiny.py")
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def dead_end(genotype, num_classes):
    return NasBench201Network(genotype, 2, 1, num_classes)


# Node 1 leads nowhere: its convolution gets no gradient on any rank.
DEAD_END = Genotype(
    "nasbench201", {"cell": ((("nor_conv_3x3", 0),), (), (("nor_conv_1x1", 0),))}
)  # fmt: skip


def evaluate(folder, devices, **options):
    tiny = tiny_evaluation()
    module = tiny.module(FixedStatistics, **options)
    settings = {"precision": "64-true", "devices": devices, "use_distributed_sampler": False}
    if devices > 1:
        settings["strategy"] = "ddp"
    trainer = tiny.trainer(folder, **settings)
    trainer.fit(module, datamodule=tiny.data())
    trainer.test(module, datamodule=tiny.data(), verbose=False)
    return {name: value.clone() for name, value in module.state_dict().items()}


def evaluate_both(folder, devices):
    return {
        "plain": evaluate(Path(folder) / "plain", devices),
        "dead end": evaluate(
            Path(folder) / "dead", devices, genotype=DEAD_END, network=dead_end
        ),
    }  # fmt: skip


def test_two_ranks_train_as_one_process_does(run_two_ranks, tmp_path):
    alone = evaluate_both(str(tmp_path / "one"), 1)
    ranks = run_two_ranks(evaluate_both, str(tmp_path / "two"), 2)
    start = tiny_evaluation().module().network.classifier.weight.double()
    assert not torch.equal(alone["plain"]["network.classifier.weight"], start)
    for case, state in alone.items():
        for name, value in state.items():
            if "metrics" in name:
                continue
            torch.testing.assert_close(ranks[0][case][name], value, rtol=1e-10, atol=1e-10)
            assert torch.equal(ranks[0][case][name], ranks[1][case][name]), name
    one, two = (read_rows(tmp_path / name / "plain/metrics.csv") for name in ("one", "two"))
    for row, expected in zip(two, one, strict=True):
        assert row == pytest.approx(expected, rel=1e-6)


class PowerCut(Callback):
    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) == (1, 2):
            raise KeyError("power cut")


def train_with_a_power_cut(folder):
    tiny = tiny_evaluation()

    def fit(name, callbacks=(), resume=None):
        kept = [*callbacks, Checkpoints(every_steps=2)]
        options = {"devices": 2, "strategy": "ddp", "use_distributed_sampler": False}
        trainer = tiny.trainer(Path(folder) / name, kept, epochs=3, **options)
        module = tiny.module(drop_path=0.3)
        trainer.fit(module, datamodule=tiny.data(), ckpt_path=resume, weights_only=True)
        return {name: value.clone() for name, value in module.state_dict().items()}

    whole = fit("whole")
    try:
        fit("cut", [PowerCut()])
    except KeyError:
        return whole, fit("cut", resume=Path(folder) / "cut/checkpoints/last.ckpt")


def test_two_ranks_resume_in_mid_epoch_with_the_sums_of_both(run_two_ranks, tmp_path):
    for whole, resumed in run_two_ranks(train_with_a_power_cut, str(tmp_path)):
        for name, value in whole.items():
            assert torch.equal(resumed[name], value), name
    whole, cut = (read_rows(tmp_path / name / "metrics.csv") for name in ("whole", "cut"))
    assert len(whole) == 3
    assert cut == whole


class OneRankFails(ImageClassification.__mro__[1]):
    """Infinite on rank 1 in the third batch."""

    def __init__(self, classes):
        self.inner, self.calls = ImageClassification(classes), 0

    def loss(self, network_call, batch, state, role):
        loss, output, state = self.inner.loss(network_call, batch, state, role)
        self.calls += 1
        failing = torch.distributed.get_rank() == 1 and self.calls == 3
        return (loss * torch.inf if failing else loss), output, state

    def batch_metrics(self, output, batch):
        return self.inner.batch_metrics(output, batch)

    def metrics(self):
        return self.inner.metrics()


def fail(folder):
    try:
        evaluate(folder, 2, task=OneRankFails)
    except NonFiniteError as error:
        return str(error)
    return "no error"


def test_a_loss_that_is_not_finite_on_one_rank_stops_all(run_two_ranks, tmp_path):
    messages = run_two_ranks(fail, str(tmp_path))
    assert all("epoch 0, batch 2" in message for message in messages)
