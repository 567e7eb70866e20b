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
    torch.testing.assert_close(sample.gates["cell"], active.float(), rtol=0, atol=1e-6)
    share = active.float().mean(0)
    torch.testing.assert_close(share, torch.full((8,), 0.25), atol=0.02, rtol=0)


def test_top_two_prefers_larger_logits():  # skip at 2, temperature 1: 0.469 against 0.219
    logits = torch.zeros(20_000, 8)
    logits[:, 1] = 2
    mask = {"cell": torch.ones_like(logits, dtype=torch.bool)}
    active = HardConcrete(1.0, sampler="top2")({"cell": logits}, mask, Draw(seed=9)).active["cell"]
    share = active.float().mean(0)
    assert float(share[1]) == pytest.approx(0.469, abs=0.02)
    assert float(share[2]) == pytest.approx(0.219, abs=0.02)


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
