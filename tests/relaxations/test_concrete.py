import pytest
import torch
from torch.distributions import RelaxedOneHotCategorical

from lnas.errors import InputError
from lnas.relaxations import Concrete, Draw
from lnas.relaxations.concrete import concrete_log_density, concrete_log_gates
from lnas.relaxations.noise import gumbel, uniform

ALL = torch.ones(14, 8, dtype=torch.bool)


def test_gates_and_gradients_equal_the_released_ones(golden):
    stored = golden("snas_cost").data
    noise = gumbel(stored["uniform"])
    for i, temperature in enumerate(stored["temperatures"]):
        logits = stored["log_alpha_normal"].clone().requires_grad_()
        gates = concrete_log_gates(logits, noise, temperature, ALL).exp()
        (gradient,) = torch.autograd.grad((gates * stored["cotangent"]).sum(), logits)
        torch.testing.assert_close(gates, stored[f"concrete/{i}/gate"], rtol=1e-9, atol=1e-10)
        expected = stored[f"concrete/{i}/grad_log_alpha"]
        torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-10)


def test_density_equals_the_exact_one(golden):
    stored = golden("snas_cost").data
    for i, temperature in enumerate(stored["temperatures"]):
        expected = stored.get(f"concrete/{i}/log_density_exact")
        if expected is None:
            continue
        logits = stored["log_alpha_normal"]
        log_gates = concrete_log_gates(logits, gumbel(stored["uniform"]), temperature, ALL)
        density = concrete_log_density(logits, log_gates, temperature, ALL)
        torch.testing.assert_close(density, expected, rtol=1e-9, atol=1e-9)


def test_derivatives_of_a_sample_have_their_closed_form():
    # Equation 6 of SNAS: d Z_l / d alpha_k = (delta_kl - Z_l) Z_k / (temperature alpha_k).
    draw = torch.Generator().manual_seed(3)
    alpha = torch.rand(8, generator=draw, dtype=torch.float64).add(0.1).requires_grad_()
    noise = gumbel(uniform(alpha.detach(), draw))
    temperature = torch.tensor(0.4, dtype=torch.float64)

    def sample(alpha):
        return concrete_log_gates(alpha.log()[None], noise[None], temperature, ALL[:1]).exp()[0]

    jacobian = torch.autograd.functional.jacobian(sample, alpha)
    z = sample(alpha).detach()
    expected = (torch.eye(8) - z[:, None]) * z / (temperature * alpha.detach())
    torch.testing.assert_close(jacobian, expected, rtol=1e-12, atol=1e-14)


def test_density_equals_torchs():
    draw = torch.Generator().manual_seed(4)
    logits = torch.randn(14, 8, generator=draw, dtype=torch.float64)
    for temperature in (torch.tensor(t, dtype=torch.float64) for t in (1.0, 0.5, 0.25)):
        log_gates = concrete_log_gates(logits, gumbel(uniform(logits, draw)), temperature, ALL)
        density = concrete_log_density(logits, log_gates, temperature, ALL)
        theirs = RelaxedOneHotCategorical(temperature, logits=logits, validate_args=False)
        expected = theirs.log_prob(log_gates.exp())
        torch.testing.assert_close(density, expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("temperature", [1.0, 0.03])
def test_noise_at_the_ends_of_its_range_gives_finite_samples(monkeypatch, temperature):
    ends = torch.tensor([0.0, 1.0, 0.5, 1.0 - 2**-53], dtype=torch.float64).repeat(14, 2)
    monkeypatch.setattr(torch, "rand", lambda *_, **__: ends.clone())
    logits = torch.zeros(14, 8).requires_grad_()
    sample = Concrete(temperature)({"normal": logits}, {"normal": ALL}, Draw())
    gates, density = sample.gates["normal"], sample.log_prob()["normal"]
    gradients = torch.autograd.grad(gates[:, 2].sum() + density.sum(), logits)
    for values in (gates, density, *gradients):
        assert torch.isfinite(values).all()
    torch.testing.assert_close(gates.sum(-1), torch.ones(14))


def test_density_over_candidates_equals_torchs_on_the_smaller_simplex():
    mask = ALL[:3].clone()
    mask[:, [0, 5]] = False
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 8, generator=generator, dtype=torch.float64)
    temperature = torch.tensor(0.5, dtype=torch.float64)
    log_gates = concrete_log_gates(logits, gumbel(uniform(logits, generator)), temperature, mask)
    density = concrete_log_density(logits, log_gates, temperature, mask)
    kept = mask[0]
    theirs = RelaxedOneHotCategorical(temperature, logits=logits[:, kept], validate_args=False)
    torch.testing.assert_close(density, theirs.log_prob(log_gates[:, kept].exp()))
    assert (log_gates.exp()[:, ~kept] == 0).all()


def test_largest_gate_is_distributed_as_the_probabilities():  # alpha = (1, 2, 3, 4)
    logits = {"cell": torch.tensor([1.0, 2.0, 3.0, 4.0]).log().expand(20_000, 4)}
    mask = {"cell": torch.ones(20_000, 4, dtype=torch.bool)}
    gates = Concrete(temperature=0.7)(logits, mask, Draw(seed=1)).gates["cell"]
    share = torch.bincount(gates.argmax(-1), minlength=4) / 20_000
    torch.testing.assert_close(share, torch.tensor([0.1, 0.2, 0.3, 0.4]), atol=0.015, rtol=0)


def test_sharpness_at_the_published_temperatures():  # uniform alpha over 8 operations
    logits = {"cell": torch.zeros(20_000, 8)}
    mask = {"cell": torch.ones(20_000, 8, dtype=torch.bool)}
    for temperature, mean in [(0.03, 0.981), (1.0, 0.494)]:
        gates = Concrete(temperature)(logits, mask, Draw(seed=2)).gates["cell"]
        assert float(gates.amax(-1).mean()) == pytest.approx(mean, abs=0.005)
        assert torch.isfinite(gates).all()


def test_one_sample_serves_a_type_unless_asked_per_cell():
    logits, mask = {"normal": torch.zeros(14, 8)}, {"normal": ALL}
    draw = Draw(seed=3, cells={"normal": 5})
    assert Concrete()(logits, mask, draw).gates["normal"].shape == (14, 8)
    sample = Concrete(per_cell=True)(logits, mask, draw)
    assert sample.gates["normal"].shape == (5, 14, 8)
    assert sample.log_prob()["normal"].shape == (5, 14)
    assert not torch.equal(sample.gates["normal"][0], sample.gates["normal"][1])


def test_ranks_share_a_sample_and_steps_do_not():
    logits, mask = {"normal": torch.zeros(14, 8)}, {"normal": ALL}

    def gates(**place):
        return Concrete()(logits, mask, Draw(seed=4, **place)).gates["normal"]

    assert torch.equal(gates(rank=0), gates(rank=1))
    assert not torch.equal(gates(step=0), gates(step=1))


def test_score_function_has_mean_zero():  # E[d log p / d logits] = 0 for every density
    logits = torch.tensor([[0.3, -0.2, 1.0]], dtype=torch.float64).repeat(40_000, 1)
    logits.requires_grad_()
    mask = {"cell": torch.ones_like(logits, dtype=torch.bool)}
    density = Concrete(0.8)({"cell": logits}, mask, Draw(seed=5)).log_prob()["cell"]
    (score,) = torch.autograd.grad(density.sum(), logits)
    mean, error = score.mean(0), score.std(0) / len(score) ** 0.5
    assert (mean.abs() < 4 * error).all()
    assert (error > 1e-4).all()


def test_temperature_must_be_positive():
    with pytest.raises(InputError, match="above 0"):
        Concrete(temperature=0)
