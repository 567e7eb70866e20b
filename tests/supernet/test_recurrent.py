"""The recurrent supernet: the released numbers, two ways to them, and what is dropped."""

from contextlib import nullcontext

import pytest
import torch
from torch.nn import functional

from lnas import kernels
from lnas.errors import InputError
from lnas.operations import statistics
from lnas.operations.activations import register_activation
from lnas.relaxations import GateSample
from lnas.spaces import DartsSpace, RecurrentSpace
from lnas.supernet import Dropouts, RecurrentSupernet
from lnas.supernet.language import first_state

CLOSE = {"rtol": 1e-9, "atol": 1e-10}
PATHS = ["fused", "reference"]
WAYS = [*PATHS, "without kernels"]
NONE = Dropouts(0.0, 0.0, 0.0, 0.0, 0.0)


def tiny(seed=0, space=None, units=5, words=11, dropouts=NONE):
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(seed)
    net = RecurrentSupernet(space or RecurrentSpace(), words, units, dropouts)
    with torch.no_grad():
        for weight in net.parameters():
            weight.mul_(15)  # away from the linear part of all activations
    return net


def text(time=4, streams=3, words=11, seed=1):
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(words, (time, streams), generator=draw)


def uniform(space, seed=2):
    draw = torch.Generator().manual_seed(seed)
    shape = (len(space.edges), len(space.operations))
    return torch.randn(shape, generator=draw, dtype=torch.float64)


def everything(net, way, sample, tokens, wanted, state=None, mode="update"):
    """Return what a pass computes: scores, state, activations, running averages and gradients."""
    net.path = way if way in PATHS else "fused"
    for name, buffer in net.named_buffers():
        buffer.fill_(1.0 if name.endswith("var") else 0.0)
    compiled = nullcontext() if way in PATHS else kernels.disabled()
    with compiled, statistics(net, mode):
        output = net(tokens, sample, state)
    loss = output.cross_entropy(tokens.flip(0)) + output.activations[0].square().mean()
    gradients = torch.autograd.grad(loss, wanted, allow_unused=True)
    found = {"loss": loss, "logits": output.logits, "state": output.state}
    found |= {f"average {name}": value.clone() for name, value in net.named_buffers()}
    return found | {f"gradient {i}": gradient for i, gradient in enumerate(gradients)}


def compare(net, sample, wanted, state=None, tokens=None, mode="update"):
    tokens = text() if tokens is None else tokens
    found = [everything(net, way, sample(), tokens, wanted, state, mode) for way in WAYS]
    for other in found[1:]:
        for name, value in found[0].items():
            assert (value is None) == (other[name] is None), name
            if value is not None:
                torch.testing.assert_close(value, other[name], rtol=1e-10, atol=1e-10, msg=name)
    return found[0]


@pytest.mark.parametrize("path", PATHS)
def test_the_released_search_network(golden, path):
    torch.set_default_dtype(torch.float64)
    case = golden("rnn_supernet")
    data, setting = case.data, case.setting
    net = RecurrentSupernet(RecurrentSpace(), setting["vocabulary"], setting["units"], NONE)
    missing = net.load_state_dict(case.part("param/"), strict=False)
    assert not missing.unexpected_keys
    assert all("running" in name for name in missing.missing_keys)
    net.path = path
    alpha = data["alpha"].clone().requires_grad_()
    gates = {"recurrent": alpha.softmax(-1)}
    output = net(data["input_tokens"], gates, data["hidden"])
    hidden, _ = output.activations
    loss = output.cross_entropy(data["target_tokens"])
    tar = setting["tar_beta"] * (hidden[1:] - hidden[:-1]).square().mean()
    torch.testing.assert_close(output.logits.log_softmax(-1), data["log_probabilities"], **CLOSE)
    torch.testing.assert_close(hidden, data["hidden_sequence"], **CLOSE)
    torch.testing.assert_close(output.state, data["hidden_next"], **CLOSE)
    torch.testing.assert_close(loss, data["loss"], **CLOSE)
    torch.testing.assert_close(tar, data["temporal_activation_regularization"], **CLOSE)
    weights = dict(net.named_parameters())
    (of_alpha,) = torch.autograd.grad(loss, alpha)
    torch.testing.assert_close(of_alpha, data["grad_alpha"], **CLOSE)
    output = net(data["input_tokens"], {"recurrent": alpha.softmax(-1)}, data["hidden"])
    hidden, _ = output.activations
    tar = setting["tar_beta"] * (hidden[1:] - hidden[:-1]).square().mean()
    (output.cross_entropy(data["target_tokens"]) + tar).backward()
    for name, gradient in case.part("grad_of_loss_plus_tar/").items():
        torch.testing.assert_close(weights[name].grad, gradient, **CLOSE)


def test_parameters_are_counted_once():  # fact D16
    with torch.device("meta"):
        net = RecurrentSupernet(RecurrentSpace(), 10_000, 300)
    assert sum(weight.numel() for weight in net.parameters()) == 4_810_000


@pytest.mark.parametrize("mode", ["update", "batch", "running"])
def test_both_ways_lead_to_the_same_numbers(mode):
    net = tiny()
    logits = uniform(net.space).requires_grad_()
    state = torch.randn(1, 3, 5)
    weights = [*net.parameters()]
    found = compare(
        net,
        lambda: GateSample({"recurrent": logits.softmax(-1)}),
        [*weights, logits],
        state,
        mode=mode,
    )
    moved = found["average cell.norm.running_mean"].abs().max() > 1e-3
    assert moved == (mode == "update")


def test_both_ways_drop_the_same():
    rates = Dropouts(0.2, 0.3, 0.4, 0.5, 0.6)
    net = tiny(dropouts=rates, units=8)
    net.set_draw(3, "weights", 0, 7)
    logits = uniform(net.space).requires_grad_()
    compare(net, lambda: GateSample({"recurrent": logits.softmax(-1)}), [*net.parameters(), logits])


@pytest.mark.parametrize("learns", ["weights", "gates"])
def test_both_ways_find_only_what_is_asked_for(learns):
    net = tiny()
    logits = uniform(net.space).requires_grad_(learns == "gates")
    net.requires_grad_(learns == "weights")
    wanted = [*net.parameters()] if learns == "weights" else [logits]
    compare(net, lambda: GateSample({"recurrent": logits.softmax(-1)}), wanted)


@pytest.mark.parametrize("seed", range(4))
def test_both_ways_take_any_gates_masks_and_edge_weights(seed):
    draw = torch.Generator().manual_seed(seed)
    operations = ("identity", "tanh", "none", "sigmoid", "relu")  # in another order
    net = tiny(space=RecurrentSpace(operations))
    gates = uniform(net.space, seed).requires_grad_()  # negative ones too
    active = torch.rand(36, 5, generator=draw) < 0.3
    active[:3] = False  # nodes 1 and 2 have no input
    edges = torch.randn(36, generator=draw, dtype=torch.float64).requires_grad_()
    with torch.no_grad():
        gates[10:20] = 0.0  # zero, but active

    def sample():
        masks = {"recurrent": active}
        return GateSample({"recurrent": gates}, masks, {"recurrent": edges})

    weights = dict(net.named_parameters())
    found = compare(net, sample, [*weights.values(), gates, edges])
    index = list(weights).index("cell.nodes.2.weight")
    assert found[f"gradient {index}"] is None
    of_gates = found[f"gradient {len(weights)}"]
    assert (of_gates[~active] == 0).all()
    assert of_gates[10:20].any()


def test_a_sampled_cell_costs_one_activation_an_edge():
    net = tiny()
    draw = torch.Generator().manual_seed(0)
    choice = torch.randint(1, 5, (36,), generator=draw)
    one_hot = functional.one_hot(choice, 5).double().requires_grad_()
    active = {"recurrent": one_hot.detach() != 0}
    compare(net, lambda: GateSample({"recurrent": one_hot}, active), [*net.parameters(), one_hot])


def test_none_is_no_work_and_no_gradient():
    net = tiny()
    gates = torch.zeros(36, 5)
    gates[:, 0] = 1
    for way in WAYS:
        active = {"recurrent": gates != 0}
        found = everything(net, way, GateSample({"recurrent": gates}, active), text(), [
            net.cell.input.weight, net.cell.nodes["4"].weight, net.decoder.bias,
        ])  # fmt: skip
        assert found["gradient 1"] is None
        assert found["state"].abs().max() == 0
        assert found["gradient 2"].abs().max() > 0


def test_an_activation_of_ones_own_takes_the_reference_path(monkeypatch):
    monkeypatch.setattr(
        "lnas.operations.activations._TABLE", {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}
    )
    monkeypatch.setattr("lnas.genotype.vocabulary._added", [])
    register_activation("softplus", torch.nn.Softplus)
    net = tiny(space=RecurrentSpace(("tanh", "relu", "softplus")))
    logits = uniform(net.space).requires_grad_()
    compare(net, lambda: GateSample({"recurrent": logits.softmax(-1)}), [*net.parameters(), logits])


def test_the_fast_way_refuses_what_it_cannot_do():
    net = tiny()
    logits = uniform(net.space).requires_grad_()
    hidden, _ = net(text(), {"recurrent": logits.softmax(-1)}).activations
    with pytest.raises(RuntimeError, match="no second derivatives"):
        torch.autograd.grad(hidden.sum(), logits, create_graph=True)
    hidden, _ = net(text(), {"recurrent": logits.softmax(-1)}).activations
    torch.autograd.grad(hidden.sum(), logits, retain_graph=True)
    with pytest.raises(RuntimeError, match="only once"):
        torch.autograd.grad(hidden.sum(), logits)


def test_the_fast_way_remembers_less_and_does_not_hide_it():
    net = tiny(units=16)
    logits = uniform(net.space).requires_grad_()
    kept = {}
    for way in WAYS:
        found = {}

        def pack(tensor, found=found):
            found[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            everything(net, way, GateSample({"recurrent": logits.softmax(-1)}), text(), [logits])
        kept[way] = sum(found.values())
    two_numbers_an_edge = (
        8 * 2 * 36 * 4 * 3 * 16
    )  # bytes, of 36 edges, 4 steps, 3 streams, 16 units
    assert two_numbers_an_edge < kept["fused"] < kept["without kernels"] < kept["reference"]


def test_masks_are_a_function_of_their_place_alone():
    net = tiny(dropouts=Dropouts(), units=40)
    gates = {"recurrent": uniform(net.space).softmax(-1)}

    def output(*place, **options):
        torch.manual_seed(9)
        net.set_draw(*place, **options)
        return net(text(), gates).activations[1]

    first = output(0, "weights", 0, 5)
    assert torch.equal(first, output(0, "weights", 0, 5))
    others = [(1, "weights", 0, 5), (0, "architecture", 0, 5), (0, "weights", 1, 5),
              (0, "weights", 0, 6)]  # fmt: skip
    for place in others:
        assert not torch.equal(first, output(*place))
    measured = output(0, "held_out", 0, 5, dropout=False)
    net.eval()
    with statistics(net, "batch"):
        assert torch.equal(measured, output(0, "weights", 0, 5))


def test_masks_hold_for_all_steps_and_keep_the_mean():
    rates = Dropouts(0.1, 0.2, 0.3, 0.4, 0.5)
    like = torch.empty(0, 2000)
    numbers = lambda name: torch.Generator().manual_seed(len(name))  # noqa: E731
    masks = rates.draw(numbers, 5000, 4, like)
    shapes = {"words": (5000, 1)}
    for name, rate in (("words", 0.1), ("embedding", 0.2), ("inputs", 0.3), ("hidden", 0.4),
                       ("output", 0.5)):  # fmt: skip
        mask = getattr(masks, name)
        assert mask.shape == shapes.get(name, (4, 2000))
        kept = mask > 0
        assert kept.float().mean() == pytest.approx(1 - rate, abs=0.02)
        torch.testing.assert_close(mask[kept].unique(), torch.tensor([1 / (1 - rate)]))
    assert rates.draw(numbers, 5000, 4, like).words.equal(masks.words)
    net = tiny(dropouts=Dropouts(output=0.5), units=40)
    net.set_draw(0, "weights", 0, 0)
    hidden, dropped = net(text(), {"recurrent": uniform(net.space).softmax(-1)}).activations
    kept = dropped != 0
    assert (kept == kept[0]).all()  # locked over time
    assert not (kept[0] == kept[0, 0]).all()  # and not over streams
    torch.testing.assert_close(dropped[kept], 2 * hidden[kept])


def test_a_state_goes_on_where_the_text_was_cut():
    net = tiny().eval()
    gates = {"recurrent": uniform(net.space).softmax(-1)}
    whole = net(text(6), gates)
    first = net(text(6)[:4], gates)
    second = net(text(6)[4:], gates, first.state)
    torch.testing.assert_close(torch.cat([first.logits, second.logits]), whole.logits)
    torch.testing.assert_close(second.state, whole.state)
    assert not first.state.requires_grad
    with pytest.raises(InputError, match=r"the batch needs \(1, 2, 5\)"):
        net(text(6)[:, :2], gates, first.state)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"space": DartsSpace()}, "choose RecurrentSpace"),
        ({"units": 0}, "units=0"),
        ({"vocabulary_size": 0}, "vocabulary_size=0"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        RecurrentSupernet(**{"space": RecurrentSpace(), **arguments})
    with pytest.raises(InputError, match="hidden is 1"):
        Dropouts(hidden=1)


def test_states_of_a_checkpoint_go_where_the_network_is_and_hold_one_step():
    assert first_state(torch.zeros(1, 2, 3), 2, torch.empty(3, device="meta")).is_meta
    net = RecurrentSupernet(RecurrentSpace(nodes=1), vocabulary_size=5, units=3)
    net.set_draw(0, "weights", 0, 1)
    gates = GateSample({"recurrent": torch.full((1, 5), 0.2)})
    state = net(torch.zeros(7, 2, dtype=torch.long), gates).state
    assert state.untyped_storage().nbytes() == 2 * 3 * state.element_size()


def test_a_state_may_lie_in_memory_as_it_likes():
    torch.set_default_dtype(torch.float64)
    net = RecurrentSupernet(RecurrentSpace(nodes=2), vocabulary_size=5, units=3)
    net.set_draw(0, "weights", 0, 1)
    gates = GateSample({"recurrent": torch.full((3, 5), 0.2)})
    words, state = torch.randint(5, (4, 8)), torch.randn(1, 3, 8).transpose(1, 2)
    found = []
    for given in (state, state.contiguous()):
        out = net(words, gates, given).logits.square().sum()
        found.append(torch.autograd.grad(out, list(net.parameters())))
    torch.testing.assert_close(*found, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("path", ["fused", "reference"])
def test_one_text_alone_is_refused(path):
    net = RecurrentSupernet(RecurrentSpace(nodes=1), vocabulary_size=5, units=3)
    net.path = path
    net.set_draw(0, "weights", 0, 1)
    gates = GateSample({"recurrent": torch.full((1, 5), 0.2)})
    with pytest.raises(InputError, match="1 text at once on this rank"):
        net(torch.zeros(7, 1, dtype=torch.long), gates)
