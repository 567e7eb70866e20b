"""EvaluationModule against a plain training loop, the paper's schedules, and its promises."""

import pytest
import torch
from lightning.pytorch import Callback
from torch.nn import functional

from lnas.callbacks import Checkpoints
from lnas.costs import network_cost
from lnas.errors import InputError, NonFiniteError
from lnas.evaluation import EvaluationModule
from lnas.genotype import Genotype
from lnas.loggers import read_rows
from lnas.networks import CifarNetwork
from lnas.schedules import Constant, Cosine, Exponential
from lnas.spaces import zoo
from lnas.tasks import ImageClassification, ImageExamples


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.2, momentum=0.9, weight_decay=3e-4)


def with_auxiliary_head(genotype, num_classes):
    return CifarNetwork(genotype, 2, 3, num_classes, auxiliary=True)


def test_training_is_the_plain_loop(tiny, tmp_path):
    shape = (3, 32, 32)  # an auxiliary head needs them
    examples = ImageExamples(4, shape)
    data = tiny.data()
    data._train.images = torch.randn(40, *shape, generator=torch.Generator().manual_seed(1))
    module = tiny.module(
        network=with_auxiliary_head, examples=examples, optimizer=sgd, gradient_clip=0.5,
        task=lambda classes: ImageClassification(classes, 0.1, 0.3),
        learning_rate=Cosine(0.1, 0.0),
    )  # fmt: skip
    other = tiny.module(network=with_auxiliary_head, examples=examples)
    assert all(
        torch.equal(a, b) for a, b in zip(module.parameters(), other.parameters(), strict=True)
    )
    tiny.trainer(tmp_path).fit(module, datamodule=data)

    network = other.network.train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=3e-4)
    loader = data.train_dataloader()
    for rate in (0.1, 0.05):
        optimizer.param_groups[0]["lr"] = rate
        for images, labels in loader:
            optimizer.zero_grad()
            found = network(images)
            loss = functional.cross_entropy(found.logits, labels, label_smoothing=0.1)
            loss += 0.3 * functional.cross_entropy(found.auxiliary, labels, label_smoothing=0.1)
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(network.parameters(), 0.5)
            assert norm > 0.5
            optimizer.step()
    for name, value in network.state_dict().items():
        torch.testing.assert_close(module.network.state_dict()[name], value, msg=name)


def test_each_epoch_logs_its_rate_its_path_dropout_and_held_out_results(tiny, tmp_path):
    module = tiny.module(drop_path=0.2, learning_rate=Exponential(0.1, 0.1 * 0.97**4))
    tiny.trainer(tmp_path, epochs=4).fit(module, datamodule=tiny.data())
    rows = read_rows(tmp_path / "metrics.csv")
    assert [row["eval/lr"] for row in rows] == pytest.approx([0.1 * 0.97**e for e in range(4)])
    assert [row["eval/drop_path"] for row in rows] == pytest.approx([0.0, 0.05, 0.1, 0.15])
    assert [row["eval/step"] for row in rows] == [4, 8, 12, 16]
    module.eval()
    loader = tiny.data().held_out_loader()
    with torch.no_grad():
        right = [(module.network(images).logits.argmax(1) == labels) for images, labels in loader]
    assert rows[-1]["eval/val_accuracy"] == pytest.approx(torch.cat(right).float().mean().item())


def test_the_default_rate_falls_from_the_optimizers_own_to_zero(tiny, tmp_path):
    tiny.trainer(tmp_path).fit(tiny.module(optimizer=sgd), datamodule=tiny.data())
    assert [row["eval/lr"] for row in read_rows(tmp_path / "metrics.csv")] == [0.2, 0.1]


def test_nothing_is_reported_as_validation_when_nothing_is_held_out(tiny, tmp_path):
    tiny.trainer(tmp_path).fit(tiny.module(), datamodule=tiny.data(held_out=0))
    assert not any("val_" in name for row in read_rows(tmp_path / "metrics.csv") for name in row)


def test_the_test_set_is_read_once_and_gives_the_last_row(tiny, tmp_path):
    asked = []

    class Data(tiny.TensorData):
        def test_dataloader(self):
            asked.append(1)
            return super().test_dataloader()

    data = tiny.data(Data)
    module, trainer = tiny.module(), tiny.trainer(tmp_path)
    trainer.fit(module, datamodule=data)
    assert not asked
    trainer.test(module, datamodule=data, verbose=False)
    assert len(asked) == 1
    row = read_rows(tmp_path / "metrics.csv")[-1]
    module.eval()
    with torch.no_grad():
        scores = module.network(data._test.images).logits
    right = (scores.argmax(1) == data._test.labels).float().mean().item()
    assert row["eval/test_accuracy"] == pytest.approx(right)
    loss = functional.cross_entropy(scores, data._test.labels).item()
    assert row["eval/test_loss"] == pytest.approx(loss, rel=1e-5)
    cost = network_cost(module.network, tiny.EXAMPLES)
    assert (row["eval/parameters"], row["eval/multiply_adds"]) == (
        cost.parameters, cost.multiply_adds
    )  # fmt: skip


def test_dropped_paths_depend_on_the_batch_and_the_seed_alone(tiny, tmp_path):
    def weights(seed, noise):
        module = tiny.module(drop_path=0.8)
        module.seed = seed
        torch.manual_seed(noise)  # the global generator must not matter
        tiny.trainer(tmp_path).fit(module, datamodule=tiny.data())
        return module.network.classifier.weight

    assert torch.equal(weights(3, 0), weights(3, 1))
    assert not torch.equal(weights(3, 0), weights(4, 0))


def test_the_best_epoch_on_held_out_images_is_kept(tiny, tmp_path):
    keep = Checkpoints(monitor="eval/val_accuracy")
    tiny.trainer(tmp_path, [keep], epochs=3).fit(tiny.module(optimizer=sgd), datamodule=tiny.data())
    accuracies = [row["eval/val_accuracy"] for row in read_rows(tmp_path / "metrics.csv")]
    assert keep.best == pytest.approx(max(accuracies))
    best = torch.load(tmp_path / "checkpoints/best.ckpt", weights_only=True)
    assert best["epoch"] == accuracies.index(max(accuracies))


@pytest.mark.parametrize("empty", [False, True])
def test_a_genotype_with_missing_edges_trains(tiny, tmp_path, empty):
    nothing = {kind: [[], [], [], []] for kind in ("normal", "reduce")}
    genotype = Genotype("darts", nothing) if empty else zoo.load("snas_aggressive")
    module = tiny.module(genotype=genotype, optimizer=sgd)
    start = {name: value.clone() for name, value in module.network.named_parameters()}
    trainer = tiny.trainer(tmp_path, epochs=3)
    trainer.fit(module, datamodule=tiny.data())
    trainer.test(module, datamodule=tiny.data(), verbose=False)
    losses = [row["eval/train_loss"] for row in read_rows(tmp_path / "metrics.csv")[:-1]]
    assert losses[-1] < losses[0]
    weights = dict(module.network.named_parameters())
    moved = {name for name, value in start.items() if not torch.equal(weights[name], value)}
    # Without a way for the image, only the answer that fits most labels is left to learn.
    learnt = {"classifier.bias"} if empty else {"classifier.bias", "stem.conv.weight"}
    assert learnt <= moved
    assert ("stem.conv.weight" in moved) != empty


class Stop(Callback):
    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) == (1, 2):
            raise KeyError("power cut")


def test_a_training_resumed_in_mid_epoch_ends_bit_identical(tiny, tmp_path):
    def fit(name, callbacks=(), resume=None):
        module = tiny.module(drop_path=0.3, optimizer=sgd)
        made = tiny.trainer(tmp_path / name, [*callbacks, Checkpoints(every_steps=2)], epochs=3)
        data = tiny.data(augment=True, cutout=2)
        made.fit(module, datamodule=data, ckpt_path=resume, weights_only=True)
        return module.state_dict()

    whole = fit("whole")
    with pytest.raises(KeyError, match="power cut"):
        fit("cut", [Stop()])
    last = tmp_path / "cut/checkpoints/last.ckpt"
    assert torch.load(last, weights_only=True)["global_step"] == 6
    resumed = fit("cut", resume=last)
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)
    files = [(tmp_path / name / "metrics.csv").read_text() for name in ("whole", "cut")]
    assert files[0] == files[1]


def test_a_checkpoint_of_another_cell_is_refused(tiny, tmp_path):
    tiny.trainer(tmp_path, [Checkpoints()], epochs=1).fit(tiny.module(), datamodule=tiny.data())
    last = tmp_path / "checkpoints/last.ckpt"

    def resume(genotype):
        module = tiny.module(genotype=genotype)
        tiny.trainer(tmp_path, [Checkpoints()]).fit(module, datamodule=tiny.data(), ckpt_path=last)

    # Without weights of its own, nothing but the name tells one pool from another.
    text = tiny.GENOTYPE.to_json()
    with pytest.raises(InputError, match=f"is of the genotype {tiny.GENOTYPE.hash} and this"):
        resume(Genotype.from_json(text.replace("avg_pool", "max_pool")))
    resume(tiny.GENOTYPE)


def test_a_checkpoint_of_another_network_is_refused(tiny, tmp_path):
    tiny.trainer(tmp_path, [Checkpoints()], epochs=1).fit(tiny.module(), datamodule=tiny.data())

    def wider(genotype, num_classes):
        return CifarNetwork(genotype, 4, 3, num_classes)

    module = tiny.module(network=wider)
    with pytest.raises(InputError, match=r"does not fit this evaluation: network\..* here; give"):
        tiny.trainer(tmp_path, [Checkpoints()]).fit(
            module, datamodule=tiny.data(), ckpt_path=tmp_path / "checkpoints/last.ckpt"
        )


def test_a_loss_that_is_not_finite_stops_with_its_place(tiny, tmp_path):
    data = tiny.data()
    data._train.images[:] = torch.nan
    with pytest.raises(NonFiniteError, match="epoch 0, batch 0"):
        tiny.trainer(tmp_path).fit(tiny.module(), datamodule=data)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"drop_path": 1.0}, r"drop_path is 1.0; choose .* \[0, 1\)"),
        ({"gradient_clip": -1.0}, "gradient_clip is -1.0"),
        ({"genotype": "dart_v2"}, "darts_v2"),
        ({"examples": ImageExamples(4, (3, 7, 7))}, "7"),
    ],
)
def test_bad_arguments_are_refused(tiny, changes, message):
    with pytest.raises(InputError, match=message):
        tiny.module(**changes)


def test_a_published_genotype_is_found_by_name(tiny):
    assert EvaluationModule("darts_v2", tiny.network, tiny.EXAMPLES).genotype.space == "darts"


class Counting(ImageClassification):
    """The state counts the batches of its stream, and the rate halves with each of them."""

    def __init__(self, classes):
        super().__init__(classes)
        self.seen = []

    def loss(self, network_call, batch, state, role):
        loss, output, _ = super().loss(network_call, batch, None, role)
        self.seen.append((role, state))
        return loss, output, (state or 0) + 1

    def learning_rate_factor(self, batch):
        return 0.5 ** len(self.seen)


class Rates(Callback):
    def __init__(self):
        self.found = []

    def on_before_optimizer_step(self, trainer, module, optimizer):
        self.found.append(optimizer.param_groups[0]["lr"])


def test_each_stream_hands_its_state_from_batch_to_batch(tiny, tmp_path):
    module, trainer = tiny.module(task=Counting), tiny.trainer(tmp_path, epochs=1)
    trainer.fit(module, datamodule=tiny.data())
    trainer.test(module, datamodule=tiny.data(), verbose=False)
    assert module.task.seen == [
        *[("evaluation", before) for before in (None, 1, 2, 3)],
        ("held_out", None),
        *[("held_out", before) for before in (None, 1)],
    ]


def test_the_task_scales_the_rate_of_each_batch_and_rows_have_that_of_the_epoch(tiny, tmp_path):
    rates = Rates()
    module = tiny.module(task=Counting, optimizer=sgd, learning_rate=Constant(0.2))
    tiny.trainer(tmp_path, [rates], epochs=1).fit(module, datamodule=tiny.data(held_out=0))
    assert rates.found == pytest.approx([0.2 * 0.5**n for n in range(5)])
    assert read_rows(tmp_path / "metrics.csv")[0]["eval/lr"] == 0.2


def test_states_go_on_when_a_training_is_resumed(tiny, tmp_path):
    def fit(callbacks=(), resume=None):
        module = tiny.module(task=Counting)
        made = tiny.trainer(tmp_path, [*callbacks, Checkpoints(every_steps=2)])
        made.fit(module, datamodule=tiny.data(), ckpt_path=resume, weights_only=True)
        return module.task.seen

    with pytest.raises(KeyError, match="power cut"):
        fit([Stop()])
    assert fit(resume=tmp_path / "checkpoints/last.ckpt")[0] == ("evaluation", 6)
