"""Two gloo processes search as one process does on the same global batches."""

import sys
from pathlib import Path

import pytest
import torch

from lnas.errors import NonFiniteError
from lnas.search import FirstOrder, Joint, SearchCallback, SearchModule, SecondOrder
from lnas.tasks import ImageClassification

sys.path.insert(0, str(Path(__file__).parent))
STRATEGIES = {
    "first": FirstOrder,
    "weights first": lambda: FirstOrder("weights_first"),
    "finite difference": SecondOrder,
    "exact": lambda: SecondOrder("exact"),
    "joint": Joint,
}


class FixedStatistics(SearchModule):
    """Normalises with the running averages, which do not move: batches can be split."""

    def run(self, batch, role, sample, statistics_mode="batch", weights=None, state=None):
        return super().run(batch, role, sample, "running", weights, state)


class Pull(SearchCallback):
    """A term and a vote, so that the seam is on the way."""

    def architecture_loss(self, module, step):
        return 0.1 * sum((p**2).sum() for p in module.architecture.probabilities().values())

    def should_step_architecture(self, module, step):
        return step.batch_index != 1


def tiny_search():
    from importlib import util

    spec = util.spec_from_file_location("tiny", Path(__file__).parent / "conftest.py")
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.TinySearch()


def search(strategy, folder, devices, close=False):
    tiny = tiny_search()
    made = tiny.module()
    module = FixedStatistics(
        made.space,
        lambda space, num_classes: made.supernet,
        strategy=STRATEGIES[strategy](),
        num_classes=4,
    )
    if close:
        module.architecture.close("cell", 0, "nor_conv_3x3")
    options = {"precision": "64-true", "devices": devices, "gradient_clip_val": None}
    if devices > 1:
        options["strategy"] = "ddp"
    trainer = tiny.trainer(folder, [Pull()], **options)
    trainer.fit(module, datamodule=tiny.data())
    state = {name: value.clone() for name, value in module.state_dict().items()}
    return state, trainer.logger.rows, module.architecture_steps, trainer.global_step


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_two_ranks_search_as_one_process_does(strategy, run_two_ranks, tmp_path):
    one, rows, steps, global_step = search(strategy, tmp_path / "one", 1)
    first, second = run_two_ranks(search, strategy, tmp_path / "two", 2)
    assert first[2] == second[2] == steps == 6
    assert first[3] == global_step == 8
    for name, value in one.items():
        torch.testing.assert_close(first[0][name], value, rtol=1e-10, atol=1e-10)
        if "running" not in name:
            assert torch.equal(first[0][name], second[0][name]), name
    assert not torch.equal(one["architecture.logits.cell"], made_logits())
    assert second[1] == []
    assert [row.keys() for row in first[1]] == [row.keys() for row in rows]
    for row, expected in zip(first[1], rows, strict=True):
        assert row == pytest.approx(expected, rel=1e-5), row


def made_logits():
    return tiny_search().module().architecture.logits["cell"].double()


def test_inactive_operations_neither_hang_nor_differ(run_two_ranks, tmp_path):
    one = search("first", tmp_path / "one", 1, True)[0]
    first, second = run_two_ranks(search, "first", tmp_path / "two", 2, True)
    for name, value in one.items():
        torch.testing.assert_close(first[0][name], value, rtol=1e-10, atol=1e-10)
        assert "running" in name or torch.equal(first[0][name], second[0][name]), name


class Broken(ImageClassification):
    """Infinite on rank 1 in the third batch."""

    calls = 0

    def loss(self, network_call, batch, state, role):
        loss, output, state = super().loss(network_call, batch, state, role)
        self.calls += role == "weights"
        if role == "weights" and self.calls == 3 and torch.distributed.get_rank() == 1:
            loss = loss * torch.inf
        return loss, output, state


class Keep(SearchCallback):
    def on_train_batch_end(self, trainer, module, *_):
        self.kept = {name: value.clone() for name, value in module.state_dict().items()}


def non_finite(folder):
    tiny, keep = tiny_search(), Keep()
    module = tiny.module(task=Broken, strategy=FirstOrder("weights_first"))
    try:
        trainer = tiny.trainer(folder, [keep], devices=2, strategy="ddp")
        trainer.fit(module, datamodule=tiny.data())
    except NonFiniteError as error:
        same = all(
            torch.equal(value, keep.kept[name])
            for name, value in module.state_dict().items()
            if "running" not in name
        )
        return str(error), same
    return "", False


def test_a_loss_that_breaks_on_one_rank_ends_all_and_moves_nothing(run_two_ranks, tmp_path):
    for message, untouched in run_two_ranks(non_finite, tmp_path):
        assert "epoch 0, batch 2" in message
        assert untouched
