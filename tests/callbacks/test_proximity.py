"""Proximity and ADMM against what the released code computes."""

from types import SimpleNamespace

import pytest
import torch

from lnas.callbacks import ADMM, Proximity
from lnas.derivation import magnitudes
from lnas.errors import InputError
from lnas.genotype import Genotype
from lnas.relaxations import ClippedReLU, Softmax
from lnas.search import SearchStep
from lnas.spaces import DartsSpace, RecurrentSpace
from lnas.supernet import Architecture

TYPES = ("normal", "reduce")
SEVEN = [name for name in DartsSpace().operations if name != "none"]
FOUR = [name for name in RecurrentSpace().operations if name != "none"]


def module_at(logits, crb=False, mask=None):
    space = DartsSpace(operations=SEVEN) if crb else DartsSpace()
    architecture = Architecture(space, ClippedReLU() if crb else Softmax()).double()
    for name in TYPES:
        if mask is not None:
            for row, column in (mask[name] == 0).nonzero().tolist():
                architecture.close(name, row, column)
        architecture.logits[name].data.copy_(logits[name])
    architecture.hold()
    return SimpleNamespace(architecture=architecture, space=space, device=torch.device("cpu"))


@pytest.mark.parametrize("index", range(3))
def test_penalty_and_gradient_equal_the_released_ones(golden, index):
    stored = golden("prime_trace").data
    module = module_at({name: stored[f"alpha_{name}"] for name in TYPES})
    part = Proximity(weight=float(stored["proximity_weight"]))
    step = SearchStep(0, 0, float(stored["progress"][index]))
    loss = part.architecture_loss(module, step)
    torch.testing.assert_close(loss, stored["proximity_loss"][index], rtol=1e-9, atol=1e-10)
    logits = [module.architecture.logits[name] for name in TYPES]
    for name, found in zip(TYPES, torch.autograd.grad(loss, logits), strict=True):
        expected = stored[f"proximity_grad_{name}"][index]
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)


def test_penalty_of_clipped_gates_equals_the_released_one(golden):
    stored = golden("prime_trace").data
    logits = {name: stored[f"crb_alpha_masked_{name}"] for name in TYPES}
    mask = {name: stored[f"crb_mask_{name}"] for name in TYPES}
    module = module_at(logits, crb=True, mask=mask)
    part = Proximity(weight=float(stored["proximity_weight"]))
    step = SearchStep(0, 0, float(stored["progress"][2]))
    loss = part.architecture_loss(module, step)
    torch.testing.assert_close(loss, stored["crb_proximity_loss"][2], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(("squared", "distance"), [(False, 2.7838821), (True, 7.75)])
def test_distance_of_uniform_gates_has_its_closed_form(squared, distance):
    module = module_at({name: torch.zeros(14, 8) for name in TYPES})
    loss = Proximity(0.1, squared=squared).architecture_loss(module, SearchStep(0, 0, 1.0))
    assert loss.item() == pytest.approx(0.1 / 2 * 2 * distance, rel=1e-6)


def distance_of(architecture):
    stub = SimpleNamespace(architecture=architecture, space=architecture.space)
    part = Proximity(weight=2.0)  # half of it, at the end of the ramp, is 1
    types = len(architecture.space.cell_types)
    return part.architecture_loss(stub, SearchStep(0, 0, 1.0)).item() / types


@pytest.mark.parametrize(
    ("space", "relaxation", "logit", "distance"),
    [
        (RecurrentSpace(), Softmax(), 0.0, 3.4641016),
        (DartsSpace(operations=SEVEN), ClippedReLU(), 1 / 7, 2.7774603),
        (RecurrentSpace(operations=FOUR), ClippedReLU(), 1 / 4, 3.6055513),
    ],
)
def test_distances_of_other_spaces_and_gates(space, relaxation, logit, distance):
    architecture = Architecture(space, relaxation).double()
    for values in architecture.logits.values():
        values.data.fill_(logit)
    assert distance_of(architecture) == pytest.approx(distance, abs=1e-7)


def test_the_whole_penalty_of_uniform_gates_is_the_published_one():
    module = module_at({name: torch.zeros(14, 8) for name in TYPES})
    loss = Proximity(0.1).architecture_loss(module, SearchStep(0, 0, 1.0))
    assert loss.item() == pytest.approx(0.2783882, abs=1e-7)


def test_uniform_gates_project_onto_the_first_operation_and_sources():
    space = DartsSpace()
    projected = space.project({name: torch.full((14, 8), 1 / 8) for name in TYPES})
    for table in projected.values():
        places = table.nonzero().tolist()
        assert places == [[row, 1] for row in (0, 1, 2, 3, 5, 6, 9, 10)]


@pytest.mark.parametrize("prefix", ["", "crb_"])
def test_gates_projection_and_genotype_equal_the_released_ones(golden, prefix):
    stored, crb = golden("prime_trace").data, bool(prefix)
    middle = "crb_alpha_masked" if crb else "alpha"
    logits = {name: stored[f"{middle}_{name}"] for name in TYPES}
    mask = {name: stored[f"crb_mask_{name}"] for name in TYPES} if crb else None
    module = module_at(logits, crb=crb, mask=mask)
    gates = module.architecture.probabilities()
    strengths = magnitudes(module.architecture)
    projected = module.space.project(strengths)
    cells = {}
    for name in TYPES:
        torch.testing.assert_close(gates[name], stored[f"{prefix}activation_{name}"])
        torch.testing.assert_close(projected[name].double(), stored[f"{prefix}projection_{name}"])
        distance = torch.linalg.vector_norm(gates[name] - projected[name])
        torch.testing.assert_close(distance, stored[f"{prefix}distance_{name}"])
        pairs = [str(text).split("~") for text in stored[f"{prefix}genotype_{name}"]]
        nodes = [(operation, int(source)) for operation, source in pairs]
        cells[name] = [nodes[start : start + 2] for start in range(0, 8, 2)]
        assert projected[name].sum() == 8
    assert module.space.derive(strengths) == Genotype("darts", cells)
    again = module.space.project(projected)
    assert all(torch.equal(again[name], projected[name]) for name in TYPES)


def test_penalty_is_zero_for_one_hot_gates():
    module = module_at({name: torch.zeros(14, 8) for name in TYPES})
    chosen = module.space.project(module.architecture.probabilities())
    for name in TYPES:
        column = chosen[name].argmax(-1)
        for row, kept in enumerate(chosen[name].sum(-1).tolist()):
            # An edge that the cell drops is all none.
            module.architecture.fix(name, row, int(column[row]) if kept else 0)
    gates = module.architecture.probabilities()
    assert all(set(values.unique().tolist()) == {0.0, 1.0} for values in gates.values())
    # The projection leaves out *none*: only the kept edges coincide.
    nearest = module.space.project(gates)
    kept = nearest["normal"].sum(-1) > 0
    torch.testing.assert_close(gates["normal"][kept], nearest["normal"][kept].double())


@pytest.mark.parametrize("discount", ["1.0", "0.2"])
@pytest.mark.parametrize("variant", ["code", "activated"])
def test_duals_and_penalty_equal_the_released_ones(golden, discount, variant):
    stored = golden("prime_trace").data
    path = stored["admm_alpha_normal"], stored["admm_alpha_reduce"]
    module = module_at(dict(zip(TYPES, (stages[0] for stages in path), strict=True)))
    part = ADMM(float(stored["proximity_weight"]), 1, float(discount), variant)
    part.on_fit_start(None, _as_module(module))
    for stage in (1, 2, 3):
        for name, stages in zip(TYPES, path, strict=True):
            module.architecture.logits[name].data.copy_(stages[stage])
        part.on_architecture_step(module, SearchStep(0, 0, 0.0))
        prefix = f"admm_{variant}_discount_{discount}"
        for axis, name in enumerate(TYPES):
            for found, key in [(part.targets, "z"), (part.duals, "u")]:
                expected = stored[f"{prefix}/{key}"][stage - 1, axis]
                torch.testing.assert_close(found[name], expected, rtol=1e-9, atol=1e-10)
        if variant == "code":
            loss = part.architecture_loss(module, SearchStep(0, 0, 0.0))
            expected = stored[f"{prefix}/loss"][stage - 1]
            torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-10)
            logits = [module.architecture.logits[name] for name in TYPES]
            for axis, found in enumerate(torch.autograd.grad(loss, logits)):
                expected = stored[f"{prefix}/grad"][stage - 1, axis]
                torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("discount", ["1.0", "0.2"])
def test_duals_of_pruned_clipped_gates_equal_the_released_ones(golden, discount):
    stored = golden("prime_trace").data
    prefix = f"admm_crb_code_discount_{discount}"
    path = {name: stored[f"admm_crb_alpha_{name}"] for name in TYPES}
    module = module_at({name: stages[0] for name, stages in path.items()}, crb=True)
    architecture = module.architecture
    part = ADMM(float(stored["proximity_weight"]), 1, float(discount), "code")
    part.on_fit_start(None, _as_module(module))
    for stage in range(4):
        for name, stages in path.items():
            architecture.logits[name].data.copy_(stages[stage])
        architecture.hold()
        architecture.close_all({name: values <= 0 for name, values in architecture.logits.items()})
        if stage == 0:
            continue
        part.on_architecture_step(module, SearchStep(0, 0, 0.0))
        for axis, name in enumerate(TYPES):
            shut = stored[f"{prefix}/mask"][stage - 1, axis] == 0
            assert torch.equal(architecture.closed.get_buffer(name), shut)
            for found, key in [(part.targets, "z"), (part.duals, "u")]:
                expected = stored[f"{prefix}/{key}"][stage - 1, axis]
                torch.testing.assert_close(found[name], expected, rtol=1e-9, atol=1e-10)
        loss = part.architecture_loss(module, SearchStep(0, 0, 0.0))
        expected = stored[f"{prefix}/loss"][stage - 1]
        torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("part", [Proximity(0.1), ADMM(0.1, every=1)])
def test_what_is_closed_is_no_target(part):
    logits = {name: torch.full((14, 7), 0.5).double() for name in TYPES}
    module = module_at(logits, crb=True)
    shut = torch.zeros(14, 7, dtype=torch.bool)
    shut[0] = shut[1] = True  # all that enters the first node
    module.architecture.close_all({"normal": shut})
    if isinstance(part, ADMM):
        part.on_fit_start(None, _as_module(module))
        part.duals["normal"][shut] = 9.0
        part.on_architecture_step(module, SearchStep(0, 0, 1.0))
        assert not part.targets["normal"][shut].any()
        assert part.targets["normal"].sum() == 6
        assert not part.duals["normal"][shut].any()
    else:
        loss = part.architecture_loss(module, SearchStep(0, 0, 1.0)).item()
        # 0.5 away from 0 or 1 wherever something is open.
        expected = 0.1 / 2 * 0.5 * ((12 * 7) ** 0.5 + (14 * 7) ** 0.5)
        assert loss == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("every", "expected"), [(10, [10, 20, 30]), (9, [9, 18, 27])])
def test_duals_move_after_every_tenth_architecture_step_or_as_released(every, expected):
    module = module_at({name: torch.zeros(14, 8) for name in TYPES})
    part = ADMM(every=every)
    part.on_fit_start(None, _as_module(module))
    moved = []
    for index in range(1, 31):
        before = part.duals["normal"]
        part.on_architecture_step(module, SearchStep(0, 0, 0.0))
        if part.duals["normal"] is not before:
            moved.append(index)
    assert moved == expected


def test_duals_resume():
    module = module_at({name: torch.rand(14, 8) for name in TYPES})
    part, again = ADMM(every=1), ADMM(every=1)
    part.on_fit_start(None, _as_module(module))
    part.on_architecture_step(module, SearchStep(0, 0, 0.0))
    again.load_state_dict(part.state_dict())
    again.on_fit_start(None, _as_module(module))
    step = SearchStep(0, 0, 0.0)
    assert torch.equal(again.architecture_loss(module, step), part.architecture_loss(module, step))
    assert part.architecture_loss(module, step).item() > 0


@pytest.mark.parametrize("options", [{"every": 0}, {"discount": 0}, {"discount": 1.1}])
def test_values_out_of_range_are_refused(options):
    with pytest.raises(InputError, match="needs"):
        ADMM(**options)


def _as_module(stub):
    """Let a stub pass for the module that the callback is attached to."""
    from lnas.search import SearchModule

    made = SearchModule.__new__(SearchModule)
    torch.nn.Module.__init__(made)
    made.architecture = stub.architecture
    made._device = torch.device("cpu")
    return made
