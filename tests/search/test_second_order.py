"""The second-order step against the released code's numbers and closed forms."""

from functools import partial

import pytest
import torch
from lightning.pytorch import Callback, LightningDataModule
from torch import nn

from lnas.errors import InputError
from lnas.relaxations import GateSample, Relaxation
from lnas.schedules import Constant
from lnas.search import FirstOrder, SearchModule, SecondOrder
from lnas.search.second_order import virtual_weights
from lnas.spaces import DartsSpace, NasBench201Space
from lnas.supernet import ConvolutionalSupernet, Supernet
from lnas.tasks import EpochMetrics, ImageExamples, Measure, Output, Task
from lnas.tasks.metrics import Average

CLOSE = {"rtol": 1e-9, "atol": 1e-10}


class Pairs(LightningDataModule):
    """The same weights batch and architecture batch `batches` times."""

    def __init__(self, train, architecture, batches=1):
        super().__init__()
        self.train, self.architecture, self.batches = train, architecture, batches

    def train_dataloader(self):
        return Again(self.train, self.batches)

    def architecture_loader(self):
        return Again(self.architecture, self.batches)


class Again:
    def __init__(self, batch, batches):
        self.batch, self.batches = batch, batches

    def __len__(self):
        return self.batches

    def __iter__(self):
        return iter([self.batch] * self.batches)

    def set_position(self, epoch, batch):
        assert batch == 0


class Watch(Callback):
    """Sets the momentum and keeps what the step computed."""

    def __init__(self, buffers=None):
        self.buffers = buffers

    def on_train_batch_start(self, trainer, module, batch, batch_index):
        optimizer = trainer.optimizers[0]
        for name, weight in module.supernet.named_parameters():
            if self.buffers is not None:
                optimizer.state[weight]["momentum_buffer"] = self.buffers[name].clone()
        self.before = {n: v.clone() for n, v in module.supernet.state_dict().items()}
        if isinstance(module.strategy, SecondOrder):
            self.virtual, _ = virtual_weights(module, batch)
        self.gradient = None

    def on_before_optimizer_step(self, trainer, module, optimizer):
        if optimizer is trainer.optimizers[1]:
            now = module.supernet.state_dict()
            self.unmoved = all(torch.equal(now[n], v) for n, v in self.before.items())
            self.gradient = {n: p.grad.clone() for n, p in module.architecture.logits.items()}


def golden_step(tiny, golden, folder, monkeypatch, name, strategy):
    stored = golden(name)
    data, setting = stored.data, stored.setting
    if setting["smooth"]:
        monkeypatch.setattr(nn.functional, "relu", nn.functional.softplus)
        average = partial(nn.functional.avg_pool2d, count_include_pad=False)
        monkeypatch.setattr(nn.functional, "max_pool2d", average)
    supernet = partial(ConvolutionalSupernet, channels=setting["channels"], layers=3)
    decay, momentum = float(data["weight_decay"]), float(data["momentum"])
    module = SearchModule(
        DartsSpace(),
        supernet,
        strategy=strategy,
        examples=ImageExamples(setting["classes"]),
        weight_optimizer=partial(torch.optim.SGD, lr=1, momentum=momentum, weight_decay=decay),
        weight_schedule=Constant(float(data["xi"])),
    ).double()
    module.supernet.path = "reference" if setting["smooth"] else "fused"
    module.supernet.load_state_dict(stored.part("param/"), strict=False)
    for kind in ("normal", "reduce"):
        module.architecture.logits[kind].data.copy_(data[f"alpha_{kind}"])
    watch = Watch(stored.part("momentum_buffer/"))
    batches = [(data[f"{x}_input"], data[f"{x}_labels"]) for x in ("train", "val")]
    options = {"max_epochs": 1, "precision": "64-true", "log_every_n_steps": 1}
    trainer = tiny.trainer(folder, [watch], **options)
    trainer.fit(module, datamodule=Pairs(*batches))
    return stored, module, watch


@pytest.mark.parametrize("name", ["darts_second_order", "darts_second_order_smooth"])
def test_the_finite_difference_is_the_released_one(tiny, golden, tmp_path, monkeypatch, name):
    stored, module, watch = golden_step(tiny, golden, tmp_path, monkeypatch, name, SecondOrder())
    for weight, value in stored.part("virtual_weight/").items():
        torch.testing.assert_close(watch.virtual[weight].detach(), value, **CLOSE)
    for kind in ("normal", "reduce"):
        torch.testing.assert_close(
            watch.gradient[kind], stored.data[f"grad_alpha_{kind}"], rtol=1e-7, atol=1e-10
        )
        torch.testing.assert_close(
            module.architecture.logits[kind].detach(),
            stored.data[f"alpha_{kind}_after_adam_step"],
            **CLOSE,
        )
        direct = stored.data[f"direct_grad_alpha_{kind}"]
        assert (watch.gradient[kind] - direct).norm() > 1e-3 * direct.norm()  # implicit term
    assert watch.unmoved


def test_the_exact_product_is_that_of_double_backward(tiny, golden, tmp_path, monkeypatch):
    stored, _, watch = golden_step(
        tiny, golden, tmp_path, monkeypatch, "darts_second_order_smooth", SecondOrder("exact")
    )
    for kind in ("normal", "reduce"):
        expected = stored.data[f"exact_grad_alpha_{kind}"]
        torch.testing.assert_close(watch.gradient[kind], expected, **CLOSE)
    assert watch.unmoved


def test_first_order_is_the_released_one(tiny, golden, tmp_path, monkeypatch):
    stored, _, watch = golden_step(
        tiny, golden, tmp_path, monkeypatch, "darts_second_order", FirstOrder()
    )
    for kind in ("normal", "reduce"):
        expected = stored.data[f"first_order_grad_alpha_{kind}"]
        torch.testing.assert_close(watch.gradient[kind], expected, **CLOSE)
    assert watch.unmoved


class Raw(Relaxation):
    """Gates are the logits."""

    def __init__(self, start):
        super().__init__()
        self.start = start

    def forward(self, logits, mask, draw):
        return GateSample(dict(logits))

    def probabilities(self, logits, mask):
        return dict(logits)

    def initial_logits(self, space, generator):
        return {"cell": torch.full((6, 5), self.start)}


class Scalar(Supernet):
    """One weight w; its output is (w, a), where a is the first gate."""

    def __init__(self, space, num_classes, start):
        super().__init__(space)
        self.cell_types_of_cells, self.halvings = ["cell"], 0
        self.w = nn.Parameter(torch.tensor(start))

    def forward(self, inputs, sample, state=None):
        return Output(torch.stack([self.w, GateSample.of(sample).gates["cell"][0, 0]]))


class Mean(EpochMetrics):
    def update(self, loss, output, batch):
        self.loss.update(loss, 1)


class Levels(Task):
    """Two losses as functions of w and a."""

    measure = Measure("loss", "min")

    def __init__(self, weights, architecture):
        self.losses = {"weights": weights, "architecture": architecture}

    def loss(self, network_call, batch, state, role):
        output = network_call(batch, state)
        return self.losses[role](*output.logits), output, None

    def batch_metrics(self, output, batch):
        return {}

    def metrics(self):
        return Mean(loss=Average())


def scalar_search(tiny, folder, strategy, levels, w, a, rate, batches, watch=(), clip=0, **sgd):
    space = NasBench201Space()
    module = SearchModule(
        space,
        partial(Scalar, start=w),
        Raw(a),
        strategy=strategy,
        task=lambda _: Levels(*levels),
        weight_optimizer=partial(torch.optim.SGD, lr=1, **sgd),
        architecture_optimizer=partial(torch.optim.SGD, lr=0.1),
        weight_schedule=Constant(rate),
        gradient_clip=clip,
    )
    trainer = tiny.trainer(folder, watch, max_epochs=1, precision="64-true", logger=False)
    batch = torch.zeros(1)
    trainer.fit(module, datamodule=Pairs(batch, batch, batches))
    return module.supernet.w.item(), module.architecture.logits["cell"][0, 0].item()


@pytest.mark.parametrize("product", ["finite_difference", "exact"])
@pytest.mark.parametrize(
    ("momentum", "decay", "virtual", "gradient"),
    [(0.0, 0.0, 1.9, 0.19), (0.9, 3e-4, 1.85494, 0.185494)],
)
def test_momentum_and_decay_are_in_the_virtual_step(
    tiny, tmp_path, product, momentum, decay, virtual, gradient
):
    # L_train = (w - a)^2 / 2, L_arch = w^2 / 2 at w = 2, a = 1, xi = 0.1, momentum * buffer = 0.45.
    watch = Watch({"w": torch.tensor(0.5, dtype=torch.float64)} if momentum else None)
    levels = (lambda w, a: 0.5 * (w - a) ** 2, lambda w, a: 0.5 * w**2)
    options = {"momentum": momentum, "weight_decay": decay}
    scalar_search(
        tiny, tmp_path, SecondOrder(product), levels, 2.0, 1.0, 0.1, 1, [watch], **options
    )
    assert watch.virtual["w"].item() == pytest.approx(virtual, abs=1e-12)
    assert watch.gradient["cell"][0, 0].item() == pytest.approx(gradient, abs=1e-9)


@pytest.mark.parametrize("product", ["finite_difference", "exact"])
@pytest.mark.parametrize(
    ("clip", "virtual", "gradient"),
    # The train gradient is 1, v is w': both are clipped at 1/4, and neither at 10.
    [(0.25, 2 - 0.1 / 4, 0.1 / 4 / 4), (10.0, 1.9, 0.19)],
)
def test_a_clipped_virtual_step_scales_the_implicit_term_by_at_most_one(
    tiny, tmp_path, product, clip, virtual, gradient
):
    class WatchClipped(Watch):
        def on_train_batch_start(self, trainer, module, batch, batch_index):
            super().on_train_batch_start(trainer, module, batch, batch_index)
            self.virtual, self.factor = virtual_weights(module, batch, clip)

    watch = WatchClipped()
    levels = (lambda w, a: 0.5 * (w - a) ** 2, lambda w, a: 0.5 * w**2)
    strategy = SecondOrder(product, clipped=True)
    scalar_search(tiny, tmp_path, strategy, levels, 2.0, 1.0, 0.1, 1, [watch], clip)
    assert float(watch.factor) == pytest.approx(min(clip, 1), abs=1e-6)
    assert watch.virtual["w"].item() == pytest.approx(virtual, abs=1e-6)
    assert watch.gradient["cell"][0, 0].item() == pytest.approx(gradient, abs=1e-6)


@pytest.mark.parametrize(
    ("strategy", "xi", "limit"),
    [(FirstOrder(), 0.1, 2.0), (SecondOrder(), 0.1, 2 / 1.2), (SecondOrder("exact"), 0.5, 1.0)],
)
def test_the_toy_of_the_paper_converges_to_its_closed_form(tiny, tmp_path, strategy, xi, limit):
    # Figure 2 of DARTS: L_arch = a w - 2 a + 1, L_train = w^2 - 2 a w + a^2, from a = 2, w = -2.
    levels = (lambda w, a: w**2 - 2 * a * w + a**2, lambda w, a: a * w - 2 * a + 1)
    w, a = scalar_search(tiny, tmp_path, strategy, levels, -2.0, 2.0, xi, 300)
    assert (w, a) == (pytest.approx(limit, abs=1e-3), pytest.approx(limit, abs=1e-3))


@pytest.mark.parametrize(
    "optimizer",
    [
        partial(torch.optim.Adam, lr=0.1),
        partial(torch.optim.SGD, lr=0.1, momentum=0.9, nesterov=True),
        partial(torch.optim.SGD, lr=0.1, momentum=0.9, dampening=0.5),
    ],
)
def test_weight_optimizers_that_the_virtual_step_does_not_mirror_are_refused(
    tiny, tmp_path, optimizer
):
    with pytest.raises(InputError, match=r"SecondOrder cannot mirror .* use FirstOrder"):
        tiny.fit(tmp_path, strategy=SecondOrder(), weight_optimizer=optimizer)


def test_wrong_arguments_are_refused():
    with pytest.raises(InputError, match="choose one of"):
        SecondOrder("guess")
    with pytest.raises(InputError, match="above 0"):
        SecondOrder(epsilon=0)
