"""The search loop: what moves when, what callbacks see, what is refused."""

from functools import partial

import pytest
import torch
from lightning.pytorch import LightningModule

from lnas.callbacks import ConstantSchedule, Proximity, WiringDiagnostics
from lnas.data import FakeImages
from lnas.errors import InputError, NonFiniteError
from lnas.relaxations import ClippedReLU, Concrete, OneHot, RandomCell, Softmax
from lnas.schedules import Constant, Linear
from lnas.search import (
    FirstOrder,
    Joint,
    SearchCallback,
    SearchModule,
    SecondOrder,
    WeightsOnly,
)
from lnas.spaces import DartsSpace, NasBench201Space
from lnas.supernet import ConvolutionalSupernet, NasBench201Supernet
from lnas.tasks import ImageClassification


class Seen(SearchCallback):
    """Notes events in order, with what holds at that moment."""

    def __init__(self, vote=lambda step: True):
        self.vote, self.events, self.steps, self.asked = vote, [], [], 0

    def should_step_architecture(self, module, step):
        self.asked += 1
        self.steps.append(step)
        self.weights = [p.detach().clone() for p in module.weight_parameters()]
        self.averages = {n: b.clone() for n, b in module.supernet.named_buffers()}
        return self.vote(step)

    def architecture_loss(self, module, step):
        frozen = not any(p.requires_grad for p in module.weight_parameters())
        gates = step.sample.gates["cell"]
        self.events.append(("loss", step.role, frozen, gates.requires_grad))
        return 0.5 * gates.square().sum()

    def on_weight_gradients(self, module, step):
        gates = step.sample.gates["cell"]
        seen = module.architecture.logits["cell"].grad is not None
        self.norm = torch.nn.utils.get_total_norm([p.grad for p in module.weight_parameters()])
        self.events.append(("weights", step.role, seen, gates.requires_grad))
        assert all(p.requires_grad for p in module.weight_parameters())

    def on_architecture_step(self, module, step):
        still = all(
            torch.equal(value, self.averages[name])
            for name, value in module.supernet.named_buffers()
        )
        self.events.append(("architecture", step.role, still, step.architecture_stepped))


def first_batch(tiny, folder, strategy):
    seen = Seen()
    tiny.fit(folder, [seen], trainer={"max_epochs": 1}, strategy=strategy)
    return seen, seen.events[: len(seen.events) // 4]


def test_architecture_first_freezes_each_level_in_turn(tiny, tmp_path):
    seen, events = first_batch(tiny, tmp_path, FirstOrder())
    assert events == [
        ("loss", "architecture", True, True),
        ("architecture", "architecture", True, True),  # the running averages stood still
        ("weights", "weights", False, False),
    ]
    assert seen.asked == 4


def test_weights_first_knows_of_the_step_to_come(tiny, tmp_path):
    _, events = first_batch(tiny, tmp_path, FirstOrder("weights_first"))
    assert [event[0] for event in events] == ["weights", "loss", "architecture"]
    assert events[1] == ("loss", "architecture", True, True)


def test_joint_takes_one_pass_for_both(tiny, tmp_path):
    _, events = first_batch(tiny, tmp_path, Joint())
    assert [event[:2] for event in events] == [
        ("loss", "joint"),
        ("weights", "joint"),
        ("architecture", "joint"),
    ]
    assert events[1][2:] == (True, True)  # both gradients of the one backward are there


def test_second_order_uses_gates_with_a_gradient(tiny, tmp_path):
    _, events = first_batch(tiny, tmp_path, SecondOrder())
    assert [event[0] for event in events] == ["loss", "architecture", "weights"]
    assert events[0][3]
    assert events[1][2]


def test_an_unknown_order_is_refused():
    with pytest.raises(InputError, match="architecture_first"):
        FirstOrder("both")


def test_votes_are_combined_with_all_and_asked_once(tiny, tmp_path):
    even, early = Seen(lambda s: s.batch_index % 2 == 0), Seen(lambda s: s.epoch == 0)
    module = tiny.fit(tmp_path, [even, early])
    assert even.asked == early.asked == module.steps == 8
    assert module.architecture_steps == 2
    assert [step.architecture_stepped for step in even.steps] == [True, False, True, *[False] * 5]


def test_progress_comes_from_epoch_and_batch_and_global_step_counts_weight_steps(tiny, tmp_path):
    seen = Seen()
    module = tiny.module()
    trainer = tiny.trainer(tmp_path, [seen])
    trainer.fit(module, datamodule=tiny.data())
    assert [step.progress for step in seen.steps] == [i / 8 for i in range(8)]
    assert trainer.global_step == module.steps == module.architecture_steps == 8


def test_max_steps_means_batches(tiny, tmp_path):
    module = tiny.fit(tmp_path, trainer={"max_steps": 3})
    assert module.steps == module.architecture_steps == 3


def test_the_gradient_is_seen_before_it_is_clipped(tiny, tmp_path):
    class Moved(Seen):
        def on_train_batch_end(self, trainer, module, *_):
            now = zip(module.weight_parameters(), self.weights, strict=True)
            self.distance = torch.nn.utils.get_total_norm([p.detach() - w for p, w in now])

    seen = Moved()
    options = {"gradient_clip": 1e-2, "weight_schedule": Constant(1.0)}
    options["weight_optimizer"] = partial(torch.optim.SGD, lr=1.0)
    tiny.fit(tmp_path, [seen], **options)
    assert seen.norm > 0.1
    assert seen.distance.item() == pytest.approx(1e-2, rel=1e-3)


def test_schedules_set_both_rates_at_each_epoch(tiny, tmp_path):
    module = tiny.module(architecture_schedule=Linear(0.4, 0.2))
    trainer = tiny.trainer(tmp_path)
    trainer.fit(module, datamodule=tiny.data())
    rows = [row for row in trainer.logger.rows if "arch/cell/entropy" in row]
    assert [row["search/lr_weights"] for row in rows] == pytest.approx([0.025, 0.013])
    assert [row["search/lr_architecture"] for row in rows] == pytest.approx([0.4, 0.3])
    rates = [module.schedules[0](epoch / 50) for epoch in (0, 1, 25, 49)]  # the released search
    assert rates == pytest.approx([0.025, 0.0249763, 0.013, 0.00102368], rel=1e-5)


def test_fixed_and_closed_entries_survive_momentum_and_decay(tiny, tmp_path):
    class Decide(SearchCallback):
        def on_train_batch_end(self, trainer, module, outputs, batch, index):
            if module.steps == 4:
                module.architecture.fix("cell", 0, "skip_connect")
                module.architecture.close("cell", 1, "nor_conv_3x3")

    module = tiny.fit(tmp_path, [Decide()])
    logits = module.architecture.logits["cell"]
    assert torch.equal(logits[0], torch.zeros(5))
    assert logits[1, 3] == 0
    assert logits[1, 2] != 0
    assert torch.equal(module.architecture.probabilities()["cell"][0], torch.eye(5)[1])


def test_rows_hold_losses_terms_and_the_state_of_the_architecture(tiny, tmp_path):
    module = tiny.module()
    trainer = tiny.trainer(tmp_path, [Seen()])
    trainer.fit(module, datamodule=tiny.data())
    rows = trainer.logger.rows
    assert [row["search/step"] for row in rows] == [2, 4, 4, 6, 8, 8]
    batch, held_out, epoch = rows[:3]
    assert batch["search/seen"] > 0
    assert batch["search/architecture_steps"] == 2
    assert set(held_out) == {
        "search/step", "search/epoch", "search/held_out_loss", "search/held_out_accuracy",
    }  # fmt: skip
    for name in ("loss_weights", "accuracy_weights", "loss_architecture", "accuracy_architecture"):
        assert name.startswith("acc") or 0 < epoch[f"search/{name}"] < 5
        assert epoch[f"search/{name}"] >= 0
    assert epoch["arch/cell/entropy"] == pytest.approx(torch.tensor(5.0).log().item(), abs=1e-3)
    assert epoch["arch/cell/skip_share"] == pytest.approx(0.2, abs=1e-3)
    assert "search/held_out_loss" in trainer.callback_metrics


def test_the_epoch_row_is_the_mean_of_its_batches(tiny, tmp_path):
    losses = []

    class Losses(SearchCallback):
        def on_weight_gradients(self, module, step):
            losses.append(step.loss.item())

    trainer = tiny.trainer(tmp_path, [Losses()], max_epochs=1)
    trainer.fit(tiny.module(), datamodule=tiny.data())
    expected = sum(losses) / 4
    assert trainer.logger.rows[-1]["search/loss_weights"] == pytest.approx(expected, rel=1e-6)


def test_validation_moves_nothing_and_takes_noise_free_gates(tiny, tmp_path):
    class Quiet(SearchCallback):
        def on_validation_start(self, trainer, module):
            self.before = {n: v.clone() for n, v in module.state_dict().items()}

        def on_validation_end(self, trainer, module):
            now = module.state_dict()
            self.same = all(torch.equal(now[n], v) for n, v in self.before.items())

    quiet = Quiet()
    tiny.fit(tmp_path, [quiet], trainer={"max_epochs": 1})
    assert quiet.same


def test_two_searches_of_one_seed_are_the_same_and_leave_the_global_generator(tiny, tmp_path):
    torch.manual_seed(3)
    first = tiny.fit(tmp_path).state_dict()
    state = torch.get_rng_state()
    second = tiny.fit(tmp_path).state_dict()
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(first[name], second[name]) for name in first)
    other = tiny.module(seed=1).supernet.state_dict()
    same = tiny.module(seed=0).supernet.state_dict()
    assert any(not torch.equal(other[name], same[name]) for name in other)


class Look(SearchCallback):
    """Runs the supernet once more in the batch whose weight step is just done."""

    def __init__(self):
        self.losses = []

    def on_architecture_step(self, module, step):
        batch = (torch.ones(4, 3, 8, 8), torch.arange(4))
        self.losses.append(module.run(batch, "held_out", module.sample("look"))[0].item())


def test_a_second_forward_sees_the_step_under_a_caching_autocast(tiny, tmp_path):
    # Some releases of Lightning keep autocast's cache of cast weights for a whole training_step.
    def fit(cached):
        class Cast(SearchModule):
            def training_step(self, batch, batch_index):
                with torch.autocast("cpu", torch.bfloat16, cache_enabled=cached):
                    super().training_step(batch, batch_index)

        look = Look()
        module = tiny.module(Cast, strategy=FirstOrder("weights_first"))
        tiny.trainer(tmp_path, [look]).fit(module, datamodule=tiny.data())
        return look.losses

    assert fit(cached=True) == fit(cached=False)


class NotANumber(ImageClassification):
    calls = 0

    def loss(self, network_call, batch, state, role):
        loss, output, state = super().loss(network_call, batch, state, role)
        self.calls += role == "weights"
        return (loss * torch.nan if self.calls == 6 else loss), output, state


@pytest.mark.parametrize("strategy", [FirstOrder("weights_first"), SecondOrder()])
def test_a_loss_that_is_not_finite_stops_before_any_step(tiny, tmp_path, strategy):
    seen = Seen()
    module = tiny.module(task=NotANumber, strategy=strategy)
    trainer = tiny.trainer(tmp_path, [seen])
    with pytest.raises(NonFiniteError, match=r"epoch \d, batch \d"):
        trainer.fit(module, datamodule=tiny.data())
    if isinstance(strategy, FirstOrder):
        assert (module.step.epoch, module.step.batch_index) == (1, 1)
        pairs = zip(module.weight_parameters(), seen.weights, strict=True)
        assert all(torch.equal(now, before) for now, before in pairs)
    assert all(torch.isfinite(p).all() for p in module.parameters())


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"gradient_clip_val": 1.0}, r"gradient_clip_val=1.0.*SearchModule\(gradient_clip"),
        ({"accumulate_grad_batches": 2}, r"accumulate_grad_batches=2.*leave it at 1"),
        ({"max_epochs": -1}, r"max_epochs=-1.*give a number of epochs"),
    ],
)
def test_flags_without_a_meaning_are_refused(tiny, tmp_path, flags, message):
    with pytest.raises(InputError, match=message):
        tiny.fit(tmp_path, trainer=flags)


def test_scaled_losses_are_refused_where_they_would_be_wrong(tiny, tmp_path):
    from lightning.pytorch.plugins import MixedPrecision

    scaler = torch.amp.GradScaler("cpu")
    flags = {"plugins": [MixedPrecision("16-mixed", "cpu", scaler)]}
    for strategy in (SecondOrder(), Joint()):
        with pytest.raises(InputError, match=r"16-mixed.*bf16-mixed"):
            tiny.fit(tmp_path, trainer=flags, strategy=strategy)


@pytest.mark.parametrize("clip", [-1.0, float("nan")])
def test_a_clip_that_is_no_norm_is_refused(tiny, clip):
    with pytest.raises(InputError, match="gradient_clip"):
        tiny.module(gradient_clip=clip)


def test_optimizers_that_miss_or_share_parameters_are_refused(tiny, tmp_path):
    def half(parameters):
        return torch.optim.SGD(list(parameters)[1:], lr=0.1)

    with pytest.raises(InputError, match=r"weight_optimizer must hold exactly.*misses 1"):
        tiny.fit(tmp_path, weight_optimizer=half)
    module = tiny.module()

    def foreign(parameters):
        return torch.optim.SGD([*parameters, *module.supernet.parameters()], lr=0.1)

    module.optimizer_factories = (module.optimizer_factories[0], foreign)
    with pytest.raises(InputError, match=r"architecture_optimizer must hold exactly.*holds \d+ ot"):
        tiny.trainer(tmp_path).fit(module, datamodule=tiny.data())


def test_every_parameter_belongs_to_exactly_one_level(tiny):
    module = tiny.module()
    levels = [*module.weight_parameters(), *module.architecture_parameters()]
    assert len(levels) == len({id(p) for p in levels})
    assert {id(p) for p in levels} == {id(p) for p in module.parameters()}


def test_a_data_module_without_an_architecture_stream_is_refused_except_by_joint(tiny, tmp_path):
    single = tiny.data(architecture_fraction=0)
    with pytest.raises(InputError, match="no architecture stream"):
        tiny.fit(tmp_path, data=single)
    assert tiny.fit(tmp_path, data=single, strategy=Joint()).architecture_steps > 0
    module = tiny.module()
    with pytest.raises(InputError, match=r"no data module has no architecture_loader"):
        tiny.trainer(tmp_path).fit(module, single.train_dataloader())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"shape": (3, 10, 10)}, "cannot be halved"),
        ({"shape": (1, 8, 8)}, "image_channels"),
    ],
)
def test_images_that_do_not_fit_are_refused_before_the_first_batch(tiny, tmp_path, data, message):
    with pytest.raises(InputError, match=message):
        tiny.fit(tmp_path, data=tiny.data(**data))


@pytest.mark.parametrize("strategy", [FirstOrder(), SecondOrder(), SecondOrder("exact"), Joint()])
def test_edge_logits_are_searched_with_the_others(tiny, tmp_path, strategy):
    module = tiny.module(edge_normalization=True, strategy=strategy)
    start = {n: p.detach().clone() for n, p in module.architecture.named_parameters()}
    assert set(start) == {"logits.cell", "edge_logits.cell"}
    trainer = tiny.trainer(tmp_path)
    trainer.fit(module, datamodule=tiny.data())
    moved = dict(module.architecture.named_parameters())
    assert not any(torch.equal(value, moved[name]) for name, value in start.items())


def test_gates_that_need_normalised_nodes_are_refused_without(tiny, tmp_path):
    options = {"relaxation": ClippedReLU()}
    options["space"] = NasBench201Space([n for n in NasBench201Space().operations if n != "none"])
    with pytest.raises(InputError, match=r"ClippedReLU.*node_norm=True"):
        tiny.fit(tmp_path, **options)
    options["supernet"] = partial(NasBench201Supernet, channels=4, cells=1, node_norm=True)
    assert tiny.fit(tmp_path, **options).architecture_steps > 0


def test_a_darts_search_runs(tiny, tmp_path):
    supernet = partial(ConvolutionalSupernet, channels=4, layers=3)
    module = tiny.fit(tmp_path, space=DartsSpace(), supernet=supernet, trainer={"max_epochs": 1})
    assert module.architecture_steps == 4


@pytest.mark.parametrize("strategy", [FirstOrder(), SecondOrder(), Joint()])
@pytest.mark.parametrize("relaxation", [Softmax(), Concrete(per_cell=True)])
def test_a_search_of_normal_cells_alone_runs(tiny, tmp_path, strategy, relaxation):
    supernet = partial(ConvolutionalSupernet, channels=4, layers=2, reductions=False)
    options = {"space": DartsSpace(nodes=2), "supernet": supernet, "strategy": strategy}
    module = tiny.module(relaxation=relaxation, **options)
    start = {name: value.clone() for name, value in module.architecture.logits.items()}
    trainer = tiny.trainer(tmp_path, max_epochs=1)
    trainer.fit(module, datamodule=tiny.data())
    moved = {n: not torch.equal(v, start[n]) for n, v in module.architecture.logits.items()}
    assert moved["normal"]
    # Second order fills what has no gradient with zeros, which Adam's decay moves.
    assert moved["reduce"] == isinstance(strategy, SecondOrder)


def test_held_out_batches_are_every_held_out_image_once(tiny, tmp_path):
    counted = []

    class Count(SearchCallback):
        def on_train_end(self, trainer, module):
            counted.extend(len(labels) for _, labels in module.held_out_batches())

    tiny.fit(tmp_path, [Count()])
    assert counted == [4, 4]


def test_the_seam_is_not_lightnings_own(tiny):
    assert not hasattr(LightningModule, "should_step_architecture")
    assert Seen().term == "seen"
    assert FakeImages is type(tiny.data())


def test_the_weights_alone_move_under_weights_only(tiny, tmp_path):
    single = tiny.data(architecture_fraction=0)
    module = tiny.module(strategy=WeightsOnly())
    start = {name: value.clone() for name, value in module.state_dict().items()}
    tiny.trainer(tmp_path).fit(module, datamodule=single)
    same = {name for name, value in module.state_dict().items() if torch.equal(value, start[name])}
    weights = {name for name, _ in module.named_parameters() if name.startswith("supernet")}
    assert "architecture.logits.cell" in same
    # Convolutions in front of a normalisation have a bias without effect.
    assert not [name for name in weights & same if "bias" not in name]
    assert (module.steps, module.architecture_steps) == (20, 0)


def test_a_random_cell_trains_only_the_weights_of_its_operations(tiny, tmp_path):
    class Cells(SearchCallback):
        def on_weight_gradients(self, module, step):
            active = step.sample.active["cell"]
            for cell in module.supernet.cells[::2]:
                reaching = cell._reaching(active)
                for row, edge in enumerate(module.space.edges):
                    for name, operation in cell.edges[edge.name].items():
                        # What does not reach the cell's output does not run either.
                        ran = reaching[row, module.space.operations.index(name)]
                        found = [p.grad is not None for p in operation.parameters()]
                        assert all(found) if ran else not any(found)
                        seen.add((bool(ran), bool(found)))

    seen = set()
    options = {"relaxation": RandomCell(), "strategy": WeightsOnly()}
    tiny.fit(tmp_path, [Cells()], **options)
    assert seen == {(True, True), (False, True), (True, False), (False, False)}


@pytest.mark.parametrize("strategy", [FirstOrder(), SecondOrder(), Joint()])
def test_gates_that_nothing_can_move_are_refused_where_they_should_learn(tiny, tmp_path, strategy):
    with pytest.raises(InputError, match=r"gates of RandomCell do not depend.*use WeightsOnly"):
        tiny.fit(tmp_path, relaxation=RandomCell(), strategy=strategy)


@pytest.mark.parametrize("part", [ConstantSchedule(2), Proximity()])
def test_callbacks_without_an_effect_are_refused(tiny, tmp_path, part):
    with pytest.raises(InputError, match=f"{type(part).__name__} acts on architecture steps"):
        tiny.fit(tmp_path, [part], strategy=WeightsOnly())


@pytest.mark.parametrize("strategy", [FirstOrder, SecondOrder, Joint])
@pytest.mark.parametrize("estimator", ["gdas", "dsnas", "proxyless"])
def test_a_search_goes_on_when_all_edges_are_drawn_as_none(tiny, tmp_path, estimator, strategy):
    module = tiny.module(relaxation=OneHot(estimator=estimator), strategy=strategy())
    with torch.no_grad():
        module.architecture.logits["cell"][:, 0] = 200.0
        module.architecture.logits["cell"][:, 1:] = -200.0
    start = module.supernet.classifier.bias.clone()
    trainer = tiny.trainer(tmp_path, [WiringDiagnostics(every=1)])
    trainer.fit(module, datamodule=tiny.data())
    assert module.architecture_steps == 8
    assert not torch.equal(module.supernet.classifier.bias, start)
    rows = [row for row in trainer.logger.rows if "arch/cell/width" in row]
    assert [row["search/last_cell_cost_weights"] for row in rows] == [0.0, 0.0]


class Adding(SearchCallback):
    def __init__(self, value):
        self.value = value

    def architecture_loss(self, module, step):
        return self.value


@pytest.mark.parametrize(
    ("value", "said"), [(torch.ones(2), r"shape \(2,\)"), ("much", "'much'"), ([1.0], r"\[1\.0\]")]
)
@pytest.mark.parametrize("strategy", [FirstOrder, SecondOrder, Joint])
def test_a_callback_that_adds_no_number_is_named(tiny, tmp_path, strategy, value, said):
    with pytest.raises(InputError, match=f"Adding.architecture_loss has returned {said}; return"):
        tiny.fit(tmp_path, [Adding(value)], strategy=strategy())


@pytest.mark.parametrize("strategy", [FirstOrder, Joint])
def test_what_is_not_finite_may_be_what_a_callback_adds(tiny, tmp_path, strategy):
    with pytest.raises(NonFiniteError, match="check the data, and what adding adds"):
        tiny.fit(tmp_path, [Adding(torch.tensor(torch.nan))], strategy=strategy())
