"""ChildValidation against plain loops over the same images, and what it must not change."""

import copy
import json

import pytest
import torch
from lightning.pytorch import Callback
from torch.nn import functional

from lnas.callbacks import ChildValidation, DeriveGenotype, RunCard
from lnas.callbacks.child_validation import limited
from lnas.data import TensorData
from lnas.derivation import RandomChoice
from lnas.errors import InputError
from lnas.loggers import read_rows
from lnas.operations import BatchNorm2d
from lnas.relaxations import Concrete
from lnas.search import Joint, SearchModule
from lnas.spaces import DartsSpace, EveryEdge
from lnas.supernet import ConvolutionalSupernet
from lnas.tasks import ImageExamples


class Data(TensorData):
    """Refuses to hand out the test set."""

    def load_test(self):
        raise AssertionError("a search has looked at the test set")


@pytest.fixture
def data():
    draw = torch.Generator().manual_seed(0)
    images = torch.randn(60, 3, 8, 8, generator=draw)
    labels = torch.randint(0, 4, (60,), generator=draw)
    images[:, 0] += labels[:, None, None]
    made = {"num_classes": 4, "batch_size": 8, "held_out": 20, "seed": 3}
    return Data(images, labels, images, labels, **made)


def in_evaluation_mode(supernet, gates, data):
    """Return accuracy and loss of the supernet as torch's own evaluation mode computes them."""
    supernet = copy.deepcopy(supernet).eval()
    supernet.path = "reference"
    scores, labels = [], []
    with torch.no_grad():
        for index, (images, truth) in enumerate(data.held_out_loader()):
            scores.append(supernet(images, gates(index) if callable(gates) else gates).logits)
            labels.append(truth)
    scores, labels = torch.cat(scores), torch.cat(labels)
    assert len(labels) == 20
    accuracy = (scores.argmax(1) == labels).float().mean().item()
    return accuracy, functional.cross_entropy(scores, labels).item()


def with_own_statistics(supernet, gates, data):
    """Return a supernet whose layers hold the mean moments of their inputs under these gates."""
    supernet = copy.deepcopy(supernet).train()
    supernet.path = "reference"
    seen = {layer: [] for layer in supernet.modules() if isinstance(layer, BatchNorm2d)}
    for layer in seen:
        layer.register_forward_pre_hook(lambda layer, inputs: seen[layer].append(inputs[0]))
    with torch.no_grad():
        for images, _ in data.calibration_loader():
            for layer in seen:
                layer.statistics = "batch"
            supernet(images, gates)
    for layer, inputs in seen.items():
        layer.statistics = None
        layer.running_mean = torch.stack([x.mean((0, 2, 3)) for x in inputs]).mean(0)
        layer.running_var = torch.stack([x.var((0, 2, 3)) for x in inputs]).mean(0)
        layer._forward_pre_hooks.clear()
    return supernet


def final(folder):
    rows = [r for r in read_rows(folder / "metrics.csv") if "search/final_child_loss" in r]
    assert len(rows) == 1
    return rows[0]


def measured(row, name):
    return row[f"search/final_{name}_accuracy"], row[f"search/final_{name}_loss"]


def small_space(rule):
    names = ("none", "skip_connect", "avg_pool_3x3", "sep_conv_3x3")
    return DartsSpace(names, nodes=2, rule=rule)


def search(trainer, data, callbacks, epochs=2, rule=None, **options):
    space = small_space(rule)
    module = SearchModule(
        space,
        lambda s, num_classes: ConvolutionalSupernet(s, 4, 3, num_classes),
        examples=ImageExamples(4),
        seed=3,
        **options,
    )
    trainer(*callbacks, epochs=epochs).fit(module, datamodule=data)
    return module


def test_the_three_numbers_are_those_of_plain_loops(small_trainer, data, tmp_path, capsys):
    derive = DeriveGenotype(RandomChoice(1))  # under any criterion
    module = search(small_trainer, data, [derive, ChildValidation(), RunCard()])
    row, supernet = final(tmp_path), module.supernet
    one_hot = module.space.one_hot(derive.genotype)
    expected = {
        "supernet": in_evaluation_mode(supernet, module.architecture.probabilities(), data),
        "child": in_evaluation_mode(supernet, one_hot, data),
        "recalibrated": in_evaluation_mode(
            with_own_statistics(supernet, one_hot, data), one_hot, data
        ),
    }
    for name, values in expected.items():
        assert measured(row, name) == pytest.approx(values, rel=1e-4), name
    assert len({loss for _, loss in expected.values()}) == 3
    results = json.loads((tmp_path / "run_card.json").read_text())["results"]
    assert results.items() >= row.items()
    printed = capsys.readouterr().out
    assert "child, running averages of its own" in printed
    assert f"{expected['recalibrated'][0]:.4f}" in printed


def test_gates_that_are_drawn_are_drawn_for_each_batch(small_trainer, data, tmp_path):
    options = {"relaxation": Concrete(0.5), "strategy": Joint(), "rule": EveryEdge()}
    module = search(small_trainer, data, [DeriveGenotype(), ChildValidation()], **options)
    samples = [module.sample(f"child validation {index}").gates for index in range(3)]
    assert not torch.equal(samples[0]["normal"], samples[1]["normal"])
    expected = in_evaluation_mode(module.supernet, lambda index: samples[index], data)
    assert measured(final(tmp_path), "supernet") == pytest.approx(expected, rel=1e-4)


class Photograph(Callback):
    """Keeps everything that a measurement could change."""

    def on_fit_end(self, trainer, module):
        self.state = {name: value.clone() for name, value in module.state_dict().items()}
        self.state |= {"random numbers": torch.get_rng_state()}
        self.modes = [part.training for part in module.modules()]
        self.layers = [
            (layer.passes, layer.statistics, layer.momentum)
            for layer in module.modules()
            if isinstance(layer, BatchNorm2d)
        ]


def test_nothing_changes_bit_for_bit(small_trainer, data):
    before, after = Photograph(), Photograph()
    search(small_trainer, data, [DeriveGenotype(), before, ChildValidation(), after])
    assert before.state.keys() == after.state.keys()
    for name, value in before.state.items():
        assert torch.equal(after.state[name], value), name
    assert (before.modes, before.layers) == (after.modes, after.layers)
    assert any(before.modes)


def test_a_child_has_no_auxiliary_skips(small_trainer, data, tmp_path):
    def supernet(space, num_classes, auxiliary_skip=1.0):
        return ConvolutionalSupernet(space, 4, 3, num_classes, auxiliary_skip=auxiliary_skip)

    module = SearchModule(small_space(None), supernet, examples=ImageExamples(4), seed=3)
    derive = DeriveGenotype()
    small_trainer(derive, ChildValidation()).fit(module, datamodule=data)
    plain = supernet(module.space, 4, None)
    plain.load_state_dict(module.supernet.state_dict(), strict=False)
    one_hot, row = module.space.one_hot(derive.genotype), final(tmp_path)
    assert measured(row, "child") == pytest.approx(in_evaluation_mode(plain, one_hot, data))
    plain = with_own_statistics(plain, one_hot, data)
    assert measured(row, "recalibrated") == pytest.approx(in_evaluation_mode(plain, one_hot, data))
    gates = module.architecture.probabilities()
    whole = in_evaluation_mode(module.supernet, gates, data)
    assert measured(row, "supernet") == pytest.approx(whole, rel=1e-4)


def test_a_child_without_operations_is_validated_too(small_trainer, data, tmp_path):
    class Nothing(Callback):
        def on_train_epoch_end(self, trainer, module):
            for logits in module.architecture.logits.values():
                logits.data[:, 0] = 9.0

    callbacks = [Nothing(), DeriveGenotype(), ChildValidation()]
    search(small_trainer, data, callbacks, epochs=1, rule=EveryEdge())
    row = final(tmp_path)
    labels = torch.cat([labels for _, labels in data.held_out_loader()])
    shares = labels.bincount(minlength=4) / 20
    accuracy, loss = measured(row, "recalibrated")
    assert any(accuracy == pytest.approx(share) for share in shares.tolist())
    assert measured(row, "child") == (accuracy, loss)


def test_without_held_out_images_a_line_says_so(small_trainer, data, tmp_path, capsys):
    none = Data(data._train.images, data._train.labels, num_classes=4, batch_size=8, held_out=0)
    search(small_trainer, none, [DeriveGenotype(), ChildValidation()], epochs=1)
    assert "Nothing is held out: the child was not validated" in capsys.readouterr().out
    assert not any("final" in name for row in read_rows(tmp_path / "metrics.csv") for name in row)


def test_the_trainers_limits_hold_for_the_end_as_well(small_trainer, data, tmp_path):
    batches = []

    class Count(Callback):
        def on_fit_end(self, trainer, module):
            run = module.run

            def counted(batch, *arguments, **options):
                batches.append(len(batch[1]))
                return run(batch, *arguments, **options)

            module.run = counted

    module = SearchModule(
        small_space(None), lambda s, num_classes: ConvolutionalSupernet(s, 4, 3, num_classes),
        examples=ImageExamples(4),
    )  # fmt: skip
    callbacks = [DeriveGenotype(), Count(), ChildValidation()]
    trainer = small_trainer(*callbacks, limit_val_batches=1, limit_train_batches=2)
    trainer.fit(module, datamodule=data)
    # Two batches recalibrate; then one held-out batch for each of the three.
    assert batches == [8] * 5
    assert [limited(10, limit) for limit in (3, 20, 1.0, 0.25, 0)] == [3, 10, 10, 2, 0]


def test_it_stands_behind_what_derives(small_trainer, small_module, small_data):
    for callbacks in ([ChildValidation()], [ChildValidation(), DeriveGenotype()]):
        with pytest.raises(InputError, match="give it behind DeriveGenotype"):
            small_trainer(*callbacks).fit(small_module(), datamodule=small_data)


def test_no_batches_to_calibrate_with_are_refused():
    with pytest.raises(InputError, match="give 1 or more, or null"):
        ChildValidation(calibration_batches=0)
