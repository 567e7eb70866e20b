"""The derived language model: the released numbers, two ways to them, and what is dropped."""

from contextlib import nullcontext

import pytest
import torch

from lnas import kernels
from lnas.costs import Cost, network_cost
from lnas.errors import InputError
from lnas.genotype import Genotype
from lnas.networks import RecurrentNetwork, unused_parameters
from lnas.spaces import RecurrentSpace, zoo
from lnas.supernet import Dropouts, RecurrentSupernet
from lnas.tasks import LanguageModeling, TextBatch, TextExamples

CLOSE = {"rtol": 1e-9, "atol": 1e-10}
PATHS = ["fused", "reference"]
NONE = Dropouts(0.0, 0.0, 0.0, 0.0, 0.0)


def cell(*pairs, concat=None):
    nodes = {"recurrent": [[pair] for pair in pairs]}
    return Genotype("recurrent", nodes, {} if concat is None else {"recurrent": concat})


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("path", PATHS)
def test_the_released_network(golden, path, training):
    torch.set_default_dtype(torch.float64)
    case = golden("rnn_network")
    data, setting = case.data, case.setting
    genotype = cell(*map(tuple, setting["genotype"]), concat=setting["concat"])
    net = RecurrentNetwork(genotype, setting["vocabulary"], setting["units"], NONE)
    net.train(training)
    net.load_state_dict(case.part("param/"))
    net.path = path
    output = net(data["input_tokens"], data["hidden"])
    hidden, _ = output.activations
    loss = output.cross_entropy(data["target_tokens"])
    tar = setting["tar_beta"] * (hidden[1:] - hidden[:-1]).square().mean()
    (loss + tar).backward()
    torch.testing.assert_close(output.logits.log_softmax(-1), data["log_probabilities"], **CLOSE)
    torch.testing.assert_close(hidden, data["hidden_sequence"], **CLOSE)
    torch.testing.assert_close(output.state, data["hidden_next"], **CLOSE)
    torch.testing.assert_close(loss, data["loss"], **CLOSE)
    torch.testing.assert_close(tar, data["temporal_activation_regularization"], **CLOSE)
    for name, gradient in case.part("grad_of_loss_plus_tar/").items():
        torch.testing.assert_close(net.get_parameter(name).grad, gradient, **CLOSE)


@pytest.mark.parametrize(
    ("name", "value"), [("darts_rnn_v1", 0.0927734375), ("darts_rnn_v2", 0.234375)]
)
@pytest.mark.parametrize("path", PATHS)
def test_the_published_cells_without_weights(name, value, path):  # fact D24b
    net = RecurrentNetwork(zoo.load(name), 7, 3).eval()
    for weight in net.cell.parameters():
        torch.nn.init.zeros_(weight)
    net.path = path
    hidden, _ = net(torch.tensor([[4, 2]]), torch.ones(1, 2, 3)).activations
    torch.testing.assert_close(hidden, torch.full((1, 2, 3), value))


def test_the_released_sizes():  # fact D16
    with torch.device("meta"):
        net = RecurrentNetwork(zoo.load("darts_rnn_v2"))
    assert sum(weight.numel() for weight in net.parameters()) == 22_960_000
    small = RecurrentNetwork(zoo.load("darts_rnn_v2"), 100, 6)
    macs = 12 * 12 + 8 * 6 * 12 + 6 * 100
    assert network_cost(small, TextExamples(100)) == Cost(600 + 100 + 144 + 8 * 72, macs)


def random_cell(seed):
    draw = torch.Generator().manual_seed(seed)
    pairs = []
    for node in range(8):
        name = ("tanh", "relu", "sigmoid", "identity")[int(torch.randint(4, (1,), generator=draw))]
        pairs.append((name, int(torch.randint(node + 1, (1,), generator=draw))))
    return cell(*pairs, concat=None if seed % 2 else (2, 5, 6))


@pytest.mark.parametrize("seed", range(6))
def test_both_ways_lead_to_the_same_numbers(seed):
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(seed)
    net = RecurrentNetwork(random_cell(seed), 11, 5, Dropouts(0.1, 0.2, 0.3, 0.4, 0.5))
    net.set_draw(seed, "somewhere")
    with torch.no_grad():
        for weight in net.parameters():
            weight.mul_(15)
    tokens, state = torch.randint(11, (6, 3)), torch.randn(1, 3, 5)
    found = []
    for way in [*PATHS, "without kernels"]:
        net.path = way if way in PATHS else "fused"
        with nullcontext() if way in PATHS else kernels.disabled():
            output = net(tokens, state)
        loss = output.cross_entropy(tokens.flip(0)) + output.activations[0].square().mean()
        gradients = torch.autograd.grad(loss, [*net.parameters()], allow_unused=True)
        found.append([loss, output.logits, output.state, *gradients])
    names = ["loss", "logits", "state", *dict(net.named_parameters())]
    for name, reference, *others in zip(names, found[1], found[0], found[2], strict=True):
        for fused in others:
            assert (fused is None) == (reference is None), name
            if fused is not None:
                torch.testing.assert_close(fused, reference, rtol=1e-10, atol=1e-10, msg=name)


def test_passes_that_share_memory_do_not_disturb_each_other():
    torch.set_default_dtype(torch.float64)
    net = RecurrentNetwork(zoo.load("darts_rnn_v2"), 11, 40, NONE)
    weights, texts = [*net.parameters()], [torch.randint(11, (steps, 3)) for steps in (6, 4, 7)]

    def loss(text):
        return net(text).cross_entropy(text.flip(0))

    net.path = "reference"
    expected = [torch.autograd.grad(loss(text), weights) for text in texts]
    net.path = "fused"
    for order in ((0, 1, 2), (2, 0, 1), (1, 2, 0)):
        with torch.inference_mode():  # as Lightning validates
            loss(texts[order[0]])
        losses = [loss(text) for text in texts]  # all are there at once
        with torch.inference_mode():
            loss(texts[order[1]])
        for index in order:
            found = torch.autograd.grad(losses[index], weights)
            torch.testing.assert_close(found, expected[index], rtol=1e-10, atol=1e-12)


def test_a_supernet_without_normalisation_is_the_derived_network():
    torch.set_default_dtype(torch.float64)
    space, genotype = RecurrentSpace(), zoo.load("darts_rnn_v2")
    supernet, net = RecurrentSupernet(space, 9, 4, NONE), RecurrentNetwork(genotype, 9, 4, NONE)
    found = net.load_state_dict(supernet.state_dict(), strict=False)
    assert not found.missing_keys
    supernet.cell.norm = torch.nn.Identity()
    supernet.path = "reference"
    gates = {name: table.double() for name, table in space.one_hot(genotype).items()}
    tokens = torch.randint(9, (4, 2))
    torch.testing.assert_close(supernet(tokens, gates).logits, net(tokens).logits)


def test_nodes_that_lead_nowhere_are_not_computed_and_known_to_be_unused():
    genotype = cell(("tanh", 0), ("relu", 1), ("sigmoid", 0), concat=(3,))
    net = RecurrentNetwork(genotype, 9, 4)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    unused = unused_parameters(net, TextExamples(9))
    assert unused == ["cell.nodes.1.weight", "cell.nodes.2.weight"]
    assert net.draw is None
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_dropped_units_are_a_function_of_the_draw_and_gone_in_evaluation():
    net = RecurrentNetwork(zoo.load("darts_rnn_v1"), 9, 30)
    tokens = torch.randint(9, (3, 2))

    def scores(*draw):
        net.set_draw(*draw)
        return net(tokens).logits

    assert torch.equal(scores(1, 2), scores(1, 2))
    assert not torch.equal(scores(1, 2), scores(1, 3))
    net.eval()
    assert torch.equal(scores(1, 2), scores(1, 3))


def test_what_the_network_cannot_do_is_refused():
    net = RecurrentNetwork(zoo.load("darts_rnn_v1"), 9, 3)
    with pytest.raises(InputError, match="nothing says what; call set_draw"):
        net(torch.zeros(2, 2, dtype=torch.long))
    net.drop_path = 0.0
    with pytest.raises(InputError, match="has no paths to drop"):
        net.drop_path = 0.2
    with pytest.raises(InputError, match="takes genotypes of the space recurrent, not of darts"):
        RecurrentNetwork(zoo.load("darts_v2"))
    with pytest.raises(InputError, match="units=0"):
        RecurrentNetwork(zoo.load("darts_rnn_v1"), units=0)


class Transcription:
    """The derived language model and its training as the papers and the released code have them."""

    def __init__(self, pairs, weights):
        self.pairs = pairs
        self.weights = {name: w.detach().clone().requires_grad_() for name, w in weights.items()}

    def scores(self, tokens, hidden, masks):
        w, outputs = self.weights, []
        embedded = w["embedding.weight"] * masks["words"]
        for token in tokens:
            x = embedded[token] * masks["embedding"] * masks["inputs"]
            pair = torch.cat([x, hidden * masks["hidden"]], 1) @ w["cell.input.weight"]
            c, h = pair.split(hidden.shape[1], 1)
            states = [hidden + torch.sigmoid(c) * (torch.tanh(h) - hidden)]
            for node, (name, source) in enumerate(self.pairs, start=1):
                before = states[source]
                pair = (before * masks["hidden"]) @ w[f"cell.nodes.{node}.weight"]
                c, h = pair.split(hidden.shape[1], 1)
                value = {
                    "tanh": torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid,
                    "identity": lambda x: x,
                }[name](h)  # fmt: skip
                states.append(before + torch.sigmoid(c) * (value - before))
            hidden = sum(states[1:]) / len(self.pairs)
            outputs.append(hidden)
        sequence = torch.stack(outputs)
        dropped = sequence * masks["output"]
        return dropped @ w["embedding.weight"].t() + w["decoder.bias"], sequence, dropped

    def step(self, inputs, targets, hidden, masks, rate):
        """Return the loss without penalties before an SGD step with clipping, and the new state."""
        scores, sequence, dropped = self.scores(inputs, hidden, masks)
        chances = torch.log_softmax(scores, -1).gather(-1, targets[..., None])
        loss = -chances.mean()
        penalty = 0.5 * dropped.pow(2).mean() + 1e-3 * (sequence[1:] - sequence[:-1]).pow(2).mean()
        gradients = torch.autograd.grad(loss + penalty, [*self.weights.values()])
        norm = sum(g.pow(2).sum() for g in gradients).sqrt()
        scale = min(1.0, 0.25 / (norm.item() + 1e-6))
        with torch.no_grad():
            for weight, gradient in zip(self.weights.values(), gradients, strict=True):
                weight -= rate * (scale * gradient + 8e-7 * weight)
        return loss.item(), sequence[-1].detach(), scale


@pytest.mark.parametrize("path", PATHS)
def test_twenty_steps_have_the_losses_of_a_plain_transcription(path):
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    genotype, words, units, streams = zoo.load("darts_rnn_v2"), 30, 12, 4
    net = RecurrentNetwork(genotype, words, units, Dropouts(0.1, 0.2, 0.75, 0.25, 0.75))
    net.path = path
    pairs = [(name, source) for _, source, name in genotype.edges("recurrent")]
    plain = Transcription(pairs, dict(net.named_parameters()))
    task = LanguageModeling(words, activation=0.5, temporal=1e-3)
    optimizer = torch.optim.SGD(net.parameters(), lr=20.0, weight_decay=8e-7)
    text = torch.randint(words, (20 * 35 + 1, streams)) // 3 * 3  # a third of the words are used
    state, hidden, found, expected, scales = None, torch.zeros(streams, units), [], [], []
    place = 0
    for number, length in enumerate(torch.randint(5, 36, (20,)).tolist()):
        inputs, targets = text[place : place + length], text[place + 1 : place + length + 1]
        place += length
        net.set_draw(3, number)
        masks = net.dropouts.draw(net._mask_generator, words, streams, net.embedding.weight)
        rate = 20.0 * length / 35
        loss, after, scale = plain.step(inputs, targets, hidden, vars(masks), rate)
        expected.append(loss)
        scales.append(scale)
        hidden = after
        batch = TextBatch(inputs, targets, number == 0, length / 35)
        total, output, state = task.loss(net, batch, state, "evaluation")
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 0.25)
        optimizer.param_groups[0]["lr"] = 20.0 * task.learning_rate_factor(batch)
        optimizer.step()
        found.append(output.entropy.item())
    assert found == pytest.approx(expected, rel=1e-9)
    assert expected[-1] < expected[0] - 0.3
    assert min(scales) < 1 < 2 * max(scales)
    for name, weight in net.named_parameters():
        torch.testing.assert_close(weight, plain.weights[name], rtol=1e-8, atol=1e-9)
