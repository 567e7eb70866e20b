"""ResourceCost against the released loss, and its estimators against each other."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.distributions import RelaxedOneHotCategorical
from torch.nn import functional

from lnas.callbacks import ResourceCost
from lnas.costs import CostTable, cost_table, operation_cost
from lnas.errors import InputError
from lnas.relaxations import Concrete, GateSample, OneHot, Softmax
from lnas.relaxations.concrete import concrete_log_density, concrete_log_gates
from lnas.relaxations.noise import gumbel
from lnas.search import FirstOrder, Joint, SearchStep, SecondOrder
from lnas.spaces import DartsSpace
from lnas.supernet import ConvolutionalSupernet
from lnas.tasks import ImageExamples

_spec = importlib.util.spec_from_file_location(
    "search_conftest", Path(__file__).parents[1] / "search" / "conftest.py"
)
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
TinySearch = _module.TinySearch

CLOSE = {"rtol": 1e-9, "atol": 1e-10}
TYPES = ("normal", "reduce")
ESTIMATORS = ("reparameterized", "policy_gradient", "expected")


def part_on(table, **options):
    part = ResourceCost(**options)
    part.table = table
    return part


def step_with(sample):
    return SearchStep(0, 0, 0.0, "joint", sample=sample)


@pytest.mark.parametrize("path", ["fused", "reference"])
def test_loss_and_gradients_of_a_search_step_equal_the_released_ones(golden, path):
    torch.set_default_dtype(torch.float64)
    case = golden("snas_step")
    stored, setting = case.data, case.setting
    net = ConvolutionalSupernet(
        DartsSpace(), setting["channels"], setting["layers"], setting["classes"]
    )
    net.load_state_dict(case.part("param/"), strict=False)
    net.path = path
    every = torch.ones(14, 8, dtype=torch.bool)
    logits = {name: stored[f"log_alpha_{name}"].clone().requires_grad_() for name in TYPES}
    gates = {
        name: concrete_log_gates(
            values, gumbel(stored[f"uniform_{name}"]), stored["temperature"], every
        ).exp()
        for name, values in logits.items()
    }
    part = part_on(
        cost_table(net, ImageExamples(shape=(3, setting["image"], setting["image"]))),
        weight=float(stored["resource_weight"]),
    )
    entropy = functional.cross_entropy(net(stored["input"], gates).logits, stored["labels"])
    term = part.architecture_loss(None, step_with(GateSample(gates)))
    torch.testing.assert_close(entropy, stored["cross_entropy"], **CLOSE)
    torch.testing.assert_close(term / part.weight, stored["log_penalty"], **CLOSE)
    torch.testing.assert_close(entropy + term, stored["loss"], **CLOSE)
    (entropy + term).backward()
    for name, values in logits.items():
        torch.testing.assert_close(gates[name], stored[f"gate_{name}"], **CLOSE)
        torch.testing.assert_close(values.grad, stored[f"grad_loss_log_alpha_{name}"], **CLOSE)
    weights = dict(net.named_parameters())
    for name, expected in case.part("grad/").items():
        torch.testing.assert_close(weights[name].grad, expected, **CLOSE)


@pytest.fixture
def binary():
    """One edge with two operations, integrated over its noise: every point is a cell's sample.

    The gates of two operations depend on the difference of their Gumbel numbers only, which is
    logistic; the mean over cells is the integral by the midpoint rule.
    """
    points = 4000
    u = (torch.arange(points, dtype=torch.float64) + 0.5) / points
    noise = torch.stack([u.logit(), torch.zeros_like(u)], -1)[:, None]
    logits = torch.tensor([[0.4, -0.3]], dtype=torch.float64, requires_grad=True)
    temperature, mask = torch.tensor(0.7).double(), torch.ones(1, 2, dtype=torch.bool)
    log_gates = concrete_log_gates(logits, noise, temperature, mask)
    density = concrete_log_density(logits, log_gates.detach(), temperature, mask)
    costs = torch.tensor([[3.0, 40.0], [500.0, 7.0], [20.0, 90.0]], dtype=torch.float64)
    table = CostTable({"cell": costs[:, None, None].expand(3, points, 1, 2)})
    sample = GateSample({"cell": log_gates.exp()}, log_probability={"cell": density})
    return SimpleNamespace(table=table, sample=sample, logits=logits)


@pytest.mark.parametrize("form", ["log", "linear"])
@pytest.mark.parametrize("baseline", [0.0, 3.0])
def test_policy_gradient_is_the_reparameterised_gradient_on_average(binary, form, baseline):
    def gradient(estimator):
        part = part_on(binary.table, weight=2.0, form=form, estimator=estimator)
        value = torch.full((4000, 1), baseline / 4000, dtype=torch.float64)
        part.baseline = {"cell": value}
        loss = part.architecture_loss(None, step_with(binary.sample))
        (found,) = torch.autograd.grad(loss, binary.logits, retain_graph=True)
        return loss.item(), found

    value, through_gates = gradient("reparameterized")
    same, through_density = gradient("policy_gradient")
    assert same == pytest.approx(value, rel=1e-12)
    torch.testing.assert_close(through_density, through_gates, rtol=2e-3, atol=1e-6)
    assert through_gates.abs().max() > 0.01


@pytest.mark.parametrize("per_cell", [False, True])
def test_policy_gradient_is_the_score_times_the_cost_above_the_baseline(per_cell):
    torch.set_default_dtype(torch.float64)
    draw = torch.Generator().manual_seed(1)
    cells, edges, ops = 3, 2, 4
    costs = 1 + 50 * torch.rand(3, cells, edges, ops, generator=draw)
    logits = torch.randn(edges, ops, generator=draw, requires_grad=True)
    shape = (cells, edges, ops) if per_cell else (edges, ops)
    noise = gumbel(torch.rand(shape, generator=draw))
    every, temperature = torch.ones(edges, ops, dtype=torch.bool), torch.tensor(0.5)
    log_gates = concrete_log_gates(logits, noise, temperature, every).detach()
    density = concrete_log_density(logits, log_gates, temperature, every)
    part = part_on(CostTable({"cell": costs}), weight=0.3, estimator="policy_gradient")
    part.baseline = {"cell": torch.rand(cells, edges, generator=draw)}
    sample = GateSample({"cell": log_gates.exp()}, log_probability={"cell": density})
    (found,) = torch.autograd.grad(part.architecture_loss(None, step_with(sample)), logits)

    theirs = RelaxedOneHotCategorical(temperature, logits=logits, validate_args=False)
    log_p = theirs.log_prob(log_gates.exp()).expand(cells, edges)
    expected = torch.zeros(edges, ops)
    for cell in range(cells):
        for edge in range(edges):
            own = log_gates.exp()[cell, edge] if per_cell else log_gates.exp()[edge]
            cost = sum((own @ costs[m, cell, edge]).log() for m in range(3)) / 3 / cells
            above = 0.3 * (cost - part.baseline["cell"][cell, edge])
            (score,) = torch.autograd.grad(log_p[cell, edge], logits, retain_graph=True)
            expected += above * score
    torch.testing.assert_close(found, expected)


def test_the_baseline_is_a_moving_average_and_resumes():
    table = CostTable({"cell": torch.ones(3, 1, 1, 2).cumsum(-1)})  # costs 1 and 2
    architecture = SimpleNamespace(probabilities=lambda: {"cell": torch.full((1, 2), 0.5)})
    module = _as_module(architecture)

    def part():
        return part_on(table, form="linear", estimator="policy_gradient", momentum=0.75)

    one, unit = part(), 0.43 * (2 + 1 / 4000 + 1 / 100)
    one.on_fit_start(None, module)
    assert one.baseline["cell"].item() == pytest.approx(1.5 * unit)
    for gates, mean in [([0.0, 1.0], 1.625), ([1.0, 0.0], 1.46875)]:
        one.on_architecture_step(None, step_with(GateSample({"cell": torch.tensor([gates])})))
        assert one.baseline["cell"].item() == pytest.approx(mean * unit)
    other = part()
    other.load_state_dict(one.state_dict())
    other.on_fit_start(None, module)
    assert torch.equal(other.baseline["cell"], one.baseline["cell"])


def search(folder, part, callbacks=(), ckpt_path=None, **options):
    tiny = TinySearch()
    trainer = tiny.trainer(folder, [part, *callbacks], log_every_n_steps=1)
    module = tiny.module(**{"relaxation": Concrete(), "strategy": Joint()} | options)
    trainer.fit(module, datamodule=tiny.data(), ckpt_path=ckpt_path, weights_only=True)
    return module, trainer.logger.rows


@pytest.mark.parametrize(
    ("estimator", "strategy"),
    [*((name, Joint) for name in ESTIMATORS), ("policy_gradient", SecondOrder)],
)
def test_estimators_search_and_log_what_they_do(tmp_path, estimator, strategy):
    part = ResourceCost(weight=0.1, estimator=estimator)
    _, rows = search(tmp_path, part, strategy=strategy())
    for name in ["resource_cost", "expected_parameters", "expected_multiply_adds"]:
        values = [row[f"search/{name}"] for row in rows if f"search/{name}" in row]
        assert len(values) > 4, name
        assert all(torch.isfinite(torch.tensor(values))), name
        assert len(set(values)) > 1, name


@pytest.mark.parametrize("relaxation", [lambda: Concrete(per_cell=True), OneHot])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_estimators_take_samples_of_each_cell_and_of_one_operation(tmp_path, estimator, relaxation):
    options = {"relaxation": relaxation(), "strategy": FirstOrder()}
    module, rows = search(tmp_path, ResourceCost(estimator=estimator), **options)
    assert module.architecture_steps > 0
    assert all(row["search/resource_cost"] > 0 for row in rows if "search/resource_cost" in row)


def test_policy_gradient_without_a_random_sample_is_refused(tmp_path):
    with pytest.raises(InputError, match="no random sample"):
        search(tmp_path, ResourceCost(estimator="policy_gradient"), relaxation=Softmax())


def test_signals_are_the_expected_costs_of_the_present_probabilities(tmp_path):
    part = ResourceCost()
    module, rows = search(tmp_path, part)
    totals = dict.fromkeys(("parameters", "multiply_adds", "memory_access"), 0.0)
    probabilities = module.architecture.probabilities()["cell"].tolist()
    for channels, side in [(4, 8), (8, 4), (16, 2)]:  # one cell a stage
        for row in probabilities:
            for name, share in zip(module.space.operations, row, strict=True):
                cost = operation_cost(name, channels, side**2)
                for measure in totals:
                    totals[measure] += share * getattr(cost, measure)
    last = next(row for row in reversed(rows) if "search/expected_parameters" in row)
    for measure, value in totals.items():
        assert last[f"search/expected_{measure}"] == pytest.approx(value, rel=1e-5)
    best = module.architecture.probabilities()["cell"].argmax(-1)
    assert last["search/none_edges"] == pytest.approx((best == 0).float().mean().item())


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_strong_weight_makes_the_network_cheaper(tmp_path, estimator):
    def adam(parameters):
        return torch.optim.Adam(parameters, lr=0.2)

    costs = []
    for weight in (0.0, 100.0):
        part = ResourceCost(weight, estimator=estimator)
        module, _ = search(tmp_path, part, architecture_optimizer=adam)
        costs.append(part.table.total(module.architecture.probabilities())[0].item())
    assert costs[1] < 0.8 * costs[0]


def test_a_search_with_policy_gradient_resumes_bit_for_bit(tmp_path):
    def part():
        return ResourceCost(weight=10.0, estimator="policy_gradient")

    save = TinySearch.Save(tmp_path / "a.ckpt", 6)
    module, rows = search(tmp_path, part(), [save])
    resumed, again = search(tmp_path, part(), [TinySearch.Save(None, 6)], save.path)
    for name, value in module.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name
    assert rows[save.rows :] == again


def test_a_search_without_an_image_size_is_refused(tmp_path):
    tiny = TinySearch()
    data = tiny.data()
    data.setup()
    trainer = tiny.trainer(tmp_path, [ResourceCost()])
    with pytest.raises(InputError, match="needs to know the image's size"):
        trainer.fit(tiny.module(strategy=Joint()), data.train_dataloader())


@pytest.mark.parametrize(
    "options", [{"form": "cubic"}, {"estimator": "guess"}, {"weight": -1}, {"momentum": 1.0}]
)
def test_values_out_of_range_are_refused(options):
    with pytest.raises(InputError, match=r"choose|needs"):
        ResourceCost(**options)


def _as_module(architecture):
    """Let an architecture pass for the module that the callback is attached to."""
    from lnas.search import SearchModule

    made = SearchModule.__new__(SearchModule)
    torch.nn.Module.__init__(made)
    made.architecture = architecture
    return made
