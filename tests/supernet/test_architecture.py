import pytest
import torch

from lnas.errors import InputError
from lnas.relaxations import Concrete, Draw, GateSample, Relaxation, Softmax
from lnas.spaces import DartsSpace, NasBench201Space
from lnas.supernet import Architecture


class Sigmoid(Relaxation):
    """Ignores the mask, to show that decisions hold under any relaxation."""

    def __init__(self, cells=0, active=False):
        super().__init__()
        self.cells, self.active = cells, active

    def forward(self, logits, mask, draw):
        gates = self.probabilities(logits, mask)
        if self.cells:
            gates = {name: value.expand(self.cells, -1, -1) for name, value in gates.items()}
        active = {name: value > 0.5 for name, value in gates.items()} if self.active else None
        return GateSample(gates, active)

    def probabilities(self, logits, mask):
        return {name: value.sigmoid() for name, value in logits.items()}

    def initial_logits(self, space, generator):
        shape = len(space.edges), len(space.operations)
        return {name: torch.randn(shape, generator=generator) for name in space.cell_types}


RELAXATIONS = [Softmax(), Sigmoid(), Sigmoid(cells=2), Sigmoid(active=True)]


@pytest.mark.parametrize("relaxation", RELAXATIONS)
def test_decisions_hold_exactly_and_get_no_gradient(relaxation):
    architecture = Architecture(NasBench201Space(), relaxation)
    architecture.fix("cell", "2_1", "nor_conv_3x3")
    architecture.close("cell", 0, "none")
    architecture.close("cell", "1_0", 4)
    sample = architecture.sample()
    for gates in (sample.gates["cell"], architecture.probabilities()["cell"]):
        assert gates[..., 2, :].reshape(-1, 5).unique(dim=0).tolist() == [[0, 0, 0, 1, 0]]
        assert not gates[..., 0, [0, 4]].any()
        assert (gates[..., 1, :] > 0).all()
        architecture.zero_grad()
        (gates * torch.randn_like(gates)).sum().backward()
        grad = architecture.logits["cell"].grad
        assert not grad[2].any()
        assert not grad[0, [0, 4]].any()
        assert grad[1].all()


def test_what_is_decided_is_inactive_on_the_host():
    architecture = Architecture(NasBench201Space(), Sigmoid(active=True, cells=3))
    before = architecture.sample().active["cell"]
    architecture.fix("cell", "2_1", "skip_connect")
    after = architecture.sample().active["cell"]
    assert after.shape == (3, 6, 5)
    assert not after[:, 2, [0, 2, 3, 4]].any()
    assert torch.equal(after[:, 0], before[:, 0])
    assert Architecture(NasBench201Space(), Softmax()).sample().active is None


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.SGD])
def test_momentum_and_weight_decay_do_not_move_what_is_decided(optimizer):
    architecture = Architecture(DartsSpace(), Softmax())
    options = {"betas": (0.5, 0.999)} if optimizer is torch.optim.Adam else {"momentum": 0.9}
    optimize = optimizer(architecture.parameters(), lr=0.1, weight_decay=0.1, **options)
    weights = {name: torch.randn(14, 8) for name in architecture.logits}

    def step():
        optimize.zero_grad()
        gates = architecture.sample().gates
        sum((gates[name] * weight).sum() for name, weight in weights.items()).backward()
        optimize.step()
        architecture.hold()

    for _ in range(3):  # momentum of what is decided afterwards
        step()
    architecture.fix("normal", "3_1", "sep_conv_3x3")
    architecture.close("normal", "2_0", "none")
    free = architecture.logits["normal"][0, 1:].clone()
    for _ in range(3):
        step()
        logits = architecture.logits["normal"]
        assert not logits[3].any()
        assert logits[0, 0] == 0
        gates = architecture.sample().gates["normal"]
        assert gates[3].tolist() == [0, 0, 0, 0, 1, 0, 0, 0]
        assert gates[0, 0] == 0
        torch.testing.assert_close(gates[0].sum(), torch.tensor(1.0))
    assert (architecture.logits["normal"][0, 1:] != free).all()


def test_an_edge_with_everything_closed_contributes_nothing():
    architecture = Architecture(NasBench201Space(), Softmax())
    for operation in range(5):
        architecture.close("cell", 1, operation)
    gates = architecture.sample().gates["cell"]
    gates.pow(2).sum().backward()
    assert not gates[1].any()
    assert architecture.logits["cell"].grad.isfinite().all()


def test_many_operations_close_at_once_and_fixed_edges_stay():
    one, many = (Architecture(NasBench201Space(), Softmax(), seed=1) for _ in range(2))
    for architecture in (one, many):
        architecture.fix("cell", 0, "none")
    shut = torch.rand(6, 5, generator=torch.Generator().manual_seed(0)) < 0.4
    assert shut[0].any()
    many.close_all({"cell": shut})
    shut[0] = False
    for row, column in shut.nonzero().tolist():
        one.close("cell", row, column)
    for name, value in one.state_dict().items():
        assert torch.equal(value, many.state_dict()[name]), name
    assert torch.equal(one.sample().active["cell"], many.sample().active["cell"])
    assert torch.equal(many.host_masks()["cell"], many.mask()["cell"])


def test_masks_are_read_from_the_device_once_after_each_decision(monkeypatch):
    architecture = Architecture(NasBench201Space(), Softmax())
    read = []
    mask = Architecture.mask
    monkeypatch.setattr(Architecture, "mask", lambda self: read.append(1) or mask(self))
    architecture.host_masks()
    before = len(read)
    architecture.host_masks()
    assert len(read) == before
    architecture.close("cell", 0, 0)
    assert not architecture.host_masks()["cell"][0, 0]
    architecture.fix("cell", 1, 1)
    assert architecture.host_masks()["cell"][1].sum() == 1
    other = Architecture(NasBench201Space(), Softmax())
    assert other.host_masks()["cell"].all()
    other.load_state_dict(architecture.state_dict())
    assert torch.equal(other.host_masks()["cell"], architecture.host_masks()["cell"])


def test_noise_free_gates_are_the_probabilities_with_the_decisions():
    architecture = Architecture(NasBench201Space(), Concrete())
    sample = architecture.noise_free()
    assert torch.equal(sample.gates["cell"], architecture.probabilities()["cell"])
    assert sample.active is None
    architecture.close("cell", 2, "none")
    sample = architecture.noise_free()
    assert torch.equal(sample.gates["cell"], architecture.probabilities()["cell"])
    assert torch.equal(sample.active["cell"], architecture.mask()["cell"])


def test_decisions_survive_in_the_state_dict():
    architecture = Architecture(NasBench201Space(), Softmax())
    architecture.fix("cell", "3_0", "avg_pool_3x3")
    architecture.close("cell", "1_0", "none")
    state = architecture.state_dict()
    assert set(state) == {"logits.cell", "fixed.cell", "closed.cell"}
    other = Architecture(NasBench201Space(), Softmax(), seed=1)
    other.load_state_dict(state)
    torch.testing.assert_close(other.sample().gates, architecture.sample().gates)
    assert torch.equal(other.mask()["cell"], architecture.mask()["cell"])


def test_candidate_sets_bound_the_gates():
    space = DartsSpace(edge_operations="s1")
    architecture = Architecture(space, Softmax())
    for name, gates in architecture.probabilities().items():
        assert torch.equal(gates > 0, space.candidates(name))
    assert architecture.sample().active is None  # what is not offered has no module to skip
    with pytest.raises(InputError, match="choose one of skip_connect, dil_conv_3x3"):
        architecture.fix("normal", 0, "sep_conv_3x3")


def test_logits_follow_the_seed():
    first, same, other = (
        Architecture(DartsSpace(), Softmax(), seed).logits["normal"] for seed in (1, 1, 2)
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_entropy_is_that_of_the_probabilities():
    architecture = Architecture(NasBench201Space(), Softmax())
    with torch.no_grad():
        architecture.logits["cell"].zero_()
    torch.testing.assert_close(architecture.entropy()["cell"], torch.tensor(5.0).log())
    for row in range(6):
        architecture.fix("cell", row, 1)
    assert architecture.entropy()["cell"] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("reduce", 0, 0), "choose one of cell"),
        (("cell", "9_0", 0), "1_0"),
        (("cell", 6, 0), "1_0"),
        (("cell", 0, "sep_conv_3x3"), "nor_conv_1x1"),
    ],
)
def test_unknown_places_are_refused_with_what_is_allowed(arguments, message):
    architecture = Architecture(NasBench201Space(), Softmax())
    for decide in (architecture.fix, architecture.close):
        with pytest.raises(InputError, match=message):
            decide(*arguments)


def test_contradictions_are_refused():
    architecture = Architecture(NasBench201Space(), Softmax())
    architecture.close("cell", 0, "none")
    with pytest.raises(InputError, match="is closed"):
        architecture.fix("cell", 0, "none")
    architecture.fix("cell", 0, "skip_connect")
    with pytest.raises(InputError, match="is fixed"):
        architecture.close("cell", 0, "skip_connect")


def test_noise_comes_from_the_draw():
    class Noisy(Sigmoid):
        def forward(self, logits, mask, draw):
            noise = torch.rand(6, 5, generator=draw.shared("gates"))
            return GateSample({"cell": noise})

    architecture = Architecture(NasBench201Space(), Noisy())
    first, same, other = (architecture.sample(Draw(step=step)).gates["cell"] for step in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
