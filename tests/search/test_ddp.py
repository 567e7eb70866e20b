"""Two gloo processes search as one process does on the same global batches."""

from importlib import util
from pathlib import Path

import pytest
import torch

from lnas.callbacks import HessianEigenvalue
from lnas.errors import NonFiniteError
from lnas.relaxations import HardConcrete, OneHot, Proximal, RandomCell
from lnas.search import (
    FirstOrder,
    Joint,
    SearchCallback,
    SearchModule,
    SecondOrder,
    WeightsOnly,
)
from lnas.tasks import ImageClassification

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
    spec = util.spec_from_file_location("tiny", Path(__file__).parent / "conftest.py")
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.TinySearch()


def search(strategy, folder, devices, close=False):
    tiny = tiny_search()
    module = tiny.module(FixedStatistics, strategy=STRATEGIES[strategy]())
    if close:
        module.architecture.close("cell", 0, "nor_conv_3x3")
    options = {"precision": "64-true", "devices": devices}
    if devices > 1:
        options["strategy"] = "ddp"
    trainer = tiny.trainer(folder, [Pull()], **options)
    trainer.fit(module, datamodule=tiny.data())
    state = {name: value.clone() for name, value in module.state_dict().items()}
    return state, trainer.logger.rows, module.architecture_steps, trainer.global_step


def search_all(folder, devices):
    found = {name: search(name, folder, devices) for name in STRATEGIES}
    return found | {"closed": search("first", folder, devices, close=True)}


def test_two_ranks_search_as_one_process_does(run_two_ranks, tmp_path):
    alone = search_all(tmp_path / "one", 1)
    ranks = run_two_ranks(search_all, tmp_path / "two", 2)
    start = tiny_search().module().architecture.logits["cell"].double()
    for strategy, (state, rows, architecture_steps, global_step) in alone.items():
        first, second = (rank[strategy] for rank in ranks)
        assert first[2:] == second[2:] == (architecture_steps, global_step) == (6, 8)
        assert not torch.equal(state["architecture.logits.cell"], start)
        for name, value in state.items():
            torch.testing.assert_close(first[0][name], value, rtol=1e-10, atol=1e-10)
            assert torch.equal(first[0][name], second[0][name]), (strategy, name)
        assert second[1] == []  # rank 0 logs
        for row, expected in zip(first[1], rows, strict=True):
            assert row == pytest.approx(expected, rel=1e-5), strategy


RELAXATIONS = {
    "top2": (lambda: HardConcrete(sampler="top2"), FirstOrder),
    "one hot": (OneHot, lambda: FirstOrder("weights_first")),
    "proximal": (Proximal, FirstOrder),
    "random cell": (RandomCell, WeightsOnly),
}


def search_in_parts(folder, devices):
    tiny, found, options = tiny_search(), {}, {"precision": "64-true", "devices": devices}
    if devices > 1:
        options["strategy"] = "ddp"
    for name, (relaxation, strategy) in RELAXATIONS.items():
        module = tiny.module(FixedStatistics, relaxation=relaxation(), strategy=strategy())
        tiny.trainer(folder, **options, max_epochs=1).fit(module, datamodule=tiny.data())
        assert module.steps == 4
        found[name] = {key: value.clone() for key, value in module.state_dict().items()}
    curvature = HessianEigenvalue(every=1, tolerance=1e-9)
    trainer = tiny.trainer(folder, [curvature], **options)
    trainer.fit(tiny.module(FixedStatistics), datamodule=tiny.data())
    found["curvature"] = {str(epoch): torch.tensor(value) for epoch, value in curvature.history}
    return found


def test_two_ranks_leave_out_the_same_operations_and_search_as_one(run_two_ranks, tmp_path):
    alone = search_in_parts(tmp_path / "one", 1)
    assert len(alone["curvature"]) == 2
    first, second = run_two_ranks(search_in_parts, tmp_path / "two", 2)
    for name, state in alone.items():
        for key, value in state.items():
            torch.testing.assert_close(first[name][key], value, rtol=1e-10, atol=1e-10)
            assert torch.equal(first[name][key], second[name][key]), (name, key)


def stop_and_resume(folder):
    tiny, found = tiny_search(), []
    for path, start in ((folder / "a.ckpt", None), (None, folder / "a.ckpt")):
        save, module = tiny.Save(path, 5), tiny.module()
        trainer = tiny.trainer(folder, [save, Pull()], devices=2, strategy="ddp")
        trainer.fit(module, datamodule=tiny.data(), ckpt_path=start, weights_only=True)
        rows = trainer.logger.rows[save.rows if path else 0 :]
        state = {n: v.clone() for n, v in module.state_dict().items() if "running" not in n}
        found.append((state, rows))
    return found


def test_two_ranks_resume_bit_identical_with_the_measures_of_both(run_two_ranks, tmp_path):
    for (state, rows), (resumed, again) in run_two_ranks(stop_and_resume, tmp_path):
        assert [name for name in state if not torch.equal(state[name], resumed[name])] == []
        assert rows == again


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
