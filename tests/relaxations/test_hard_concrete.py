import pytest
import torch

from lnas.errors import InputError
from lnas.relaxations import Draw, HardConcrete
from lnas.relaxations.hard_concrete import top_two

ALL = torch.ones(14, 8, dtype=torch.bool)


def relaxation(temperature: float, **options) -> HardConcrete:
    return HardConcrete(temperature, **options).double()


@pytest.mark.parametrize("sample", range(4))
@pytest.mark.parametrize(("axis", "cell_type"), [(0, "normal"), (1, "reduce")])
def test_gates_masks_and_gradients_equal_the_released_ones(golden, sample, axis, cell_type):
    stored = golden("pr_darts").data
    part = relaxation(float(stored["temperatures"][sample]))
    beta = stored[f"beta_{cell_type}"].clone().requires_grad_()
    gate = part.gate(beta, torch.logit(stored["uniform"][sample, axis]))
    torch.testing.assert_close(gate, stored["gate"][sample, axis], rtol=1e-9, atol=1e-10)
    (slope,) = torch.autograd.grad(gate.sum(), beta, retain_graph=True)
    expected = stored["gate_derivative"][sample, axis]
    torch.testing.assert_close(slope, expected, rtol=1e-9, atol=1e-10)
    order = stored["permutation"][sample, axis].long()
    chosen = top_two(gate.detach(), stored["dropped"][sample, axis] > 0, order, ALL)
    assert torch.equal(chosen.double(), stored["mask"][sample, axis].double())
    weights = chosen.double() - gate.detach() + gate
    (through,) = torch.autograd.grad((weights * stored["cotangent"][axis]).sum(), beta)
    expected = stored["straight_through_grad"][sample, axis]
    torch.testing.assert_close(through, expected, rtol=1e-9, atol=1e-10)
    for name, of in [
        ("activation_probability", part.probability_open),
        ("saturation_probability", part.probability_one),
    ]:
        torch.testing.assert_close(of(beta.detach()), stored[name][sample, axis])


@pytest.mark.parametrize(
    ("beta", "temperature", "opened", "one"),
    [(0, 1, 11 / 12, 1 / 12), (0, 0.1, 0.559662, 0.440338), (1, 0.5, 0.900155, 0.450426)],
)
def test_probabilities_have_their_closed_form_and_frequency(beta, temperature, opened, one):
    part = relaxation(temperature)
    logits = torch.full((50_000, 4), float(beta), dtype=torch.float64)
    assert float(part.probability_open(logits[0, 0])) == pytest.approx(opened, abs=1e-6)
    assert float(part.probability_one(logits[0, 0])) == pytest.approx(one, abs=1e-6)
    mask = {"cell": torch.ones_like(logits, dtype=torch.bool)}
    gates = part({"cell": logits}, mask, Draw(seed=6)).gates["cell"]
    assert float((gates > 0).double().mean()) == pytest.approx(opened, abs=0.006)
    assert float((gates == 1).double().mean()) == pytest.approx(one, abs=0.006)


def test_gates_without_the_clip_are_never_zero_or_one():
    logits, mask = {"cell": torch.zeros(500, 8)}, {"cell": torch.ones(500, 8, dtype=torch.bool)}
    gates = HardConcrete(0.5, clip=False)(logits, mask, Draw(seed=7)).gates["cell"]
    assert ((gates > 0) & (gates < 1)).all()


def test_top_two_runs_exactly_two_operations_of_equal_frequency():  # beta = 0: 2 / 8 each
    rows = 20_000
    logits, mask = {"cell": torch.zeros(rows, 8)}, {"cell": torch.ones(rows, 8, dtype=torch.bool)}
    sample = HardConcrete(1.0, sampler="top2")(logits, mask, Draw(seed=8))
    active = sample.active["cell"]
    assert (active.sum(-1) == 2).all()
    assert torch.equal(sample.gates["cell"], active.float())
    share = active.float().mean(0)
    torch.testing.assert_close(share, torch.full((8,), 0.25), atol=0.02, rtol=0)


@pytest.mark.parametrize(("temperature", "skip"), [(1.0, 0.469), (0.1, 0.421)])
def test_top_two_prefers_larger_logits(temperature, skip):  # skip at 2, the others at 0
    logits = torch.zeros(50, 8)
    logits[:, 1] = 2
    mask = {"cell": torch.ones_like(logits, dtype=torch.bool)}
    part = HardConcrete(temperature, sampler="top2")
    # Ties go by one permutation for all edges of a draw: many draws.
    draws = (Draw(seed=9, step=step) for step in range(1000))
    active = [part({"cell": logits}, mask, draw).active["cell"] for draw in draws]
    share = torch.cat(active).float().mean(0)
    assert float(share[1]) == pytest.approx(skip, abs=0.01)
    assert float(share.sum()) == pytest.approx(2)
    assert (share[[0, *range(2, 8)]] < 0.25).all()


@pytest.mark.parametrize(("temperature", "mean"), [(1.0, 0.009), (0.1, 0.14)])
def test_top_two_runs_few_operations_whose_gate_is_shut(temperature, mean):  # per edge, beta = 0
    logits, draw = torch.zeros(30_000, 8), Draw(seed=10)
    mask = torch.ones_like(logits, dtype=torch.bool)
    part = HardConcrete(temperature, sampler="top2")
    active = part({"cell": logits}, {"cell": mask}, draw).active["cell"]
    gates = HardConcrete(temperature)({"cell": logits}, {"cell": mask}, draw).gates["cell"]
    shut = ((gates == 0) & active).sum(-1).double().mean()
    assert float(shut) == pytest.approx(mean, abs=0.015 if mean > 0.1 else 0.003)


@pytest.mark.parametrize(
    ("beta", "temperature", "mean"), [(0, 1, 0.5), (0, 0.1, 0.5), (-2, 2 / 3, 0.1425)]
)
def test_the_mean_gate_has_its_published_value(beta, temperature, mean):
    # The mean over u by the midpoint rule: no sampling error.
    u = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000
    gates = relaxation(temperature).gate(torch.full_like(u, float(beta)), torch.logit(u))
    assert float(gates.mean()) == pytest.approx(mean, abs=3e-4)  # published from a sample


def test_the_slope_of_a_gate_has_its_closed_form_and_stops_at_the_clip():
    beta = torch.linspace(-3, 3, 61, dtype=torch.float64, requires_grad=True)
    part = relaxation(0.5)
    gate = part.gate(beta, torch.zeros_like(beta))
    (slope,) = torch.autograd.grad(gate.sum(), beta)
    smooth = torch.sigmoid(beta.detach() / 0.5)
    stretched = -0.1 + 1.2 * smooth
    inside = (stretched > 0) & (stretched < 1)
    expected = 1.2 * smooth * (1 - smooth) / 0.5 * inside
    assert 0 < inside.sum() < len(beta)
    torch.testing.assert_close(slope, expected)


def test_cold_gates_open_like_a_coin_of_the_logistic_probability():
    beta = torch.linspace(-4, 4, 9, dtype=torch.float64)
    for probability in (
        relaxation(1e-6).probability_open(beta),
        relaxation(1e-6).probability_one(beta),
    ):
        torch.testing.assert_close(probability, torch.sigmoid(beta), atol=1e-5, rtol=0)


def test_what_the_mask_forbids_stays_shut():
    mask = ALL.clone()
    mask[:, 2] = False
    logits = torch.zeros(14, 8, requires_grad=True)
    for sampler in ("gates", "top2"):
        gates = HardConcrete(sampler=sampler)({"a": logits}, {"a": mask}, Draw(seed=1)).gates["a"]
        assert (gates[:, 2] == 0).all()
        (gradient,) = torch.autograd.grad(gates.pow(2).sum(), logits)
        assert (gradient[:, 2] == 0).all()
        assert gradient.abs().sum() > 0


@pytest.mark.parametrize(
    "options", [{"temperature": 0}, {"low": 0.1}, {"high": 0.9}, {"operation_dropout": 1.0}]
)
def test_values_out_of_range_are_refused(options):
    with pytest.raises(InputError, match="must"):
        HardConcrete(**options)
