"""Networks of sizes and cells that no golden file has, against the papers' text written out again.

The oracle reads nothing but a state dict: each operation is a chain of torch functions, each count
a sum of the convolutions' sizes. Outputs and all gradients are compared.
"""

import random
from contextlib import nullcontext

import pytest
import torch
from torch.nn import functional

from lnas import kernels
from lnas.genotype import Genotype
from lnas.networks import CifarNetwork, ImageNetNetwork
from lnas.spaces import zoo

OPERATIONS = [
    "max_pool_3x3", "avg_pool_3x3", "skip_connect", "sep_conv_3x3", "sep_conv_5x5", "sep_conv_7x7",
    "dil_conv_3x3", "dil_conv_5x5", "conv_7x1_1x7",
]  # fmt: skip
CLASSES = 7


def drawn(seed):
    """Return cells of 3 to 5 nodes with 1 to 3 inputs; one node may be left out of the output."""
    draw = random.Random(seed)
    cells, concat = {}, {}
    for kind in ("normal", "reduce"):
        last = draw.choice([5, 6, 7])
        cells[kind] = [
            [(draw.choice(OPERATIONS), source) for source in draw.sample(range(node), count)]
            for node in range(2, last)
            for count in [min(draw.choice([1, 2, 2, 3]), node)]
        ]
        concat[kind] = sorted(draw.sample(range(2, last), last - 2 - draw.choice([0, 1])))
    return Genotype("darts", cells, concat)


class WrittenOut:
    """A network as functions of its weights.

    Args:
        genotype: The cells.
        layers: Number of cells.
        weights: A state dict.
        training: Normalise with the batch.
    """

    def __init__(self, genotype, layers, weights, training):
        self.genotype, self.layers = genotype, layers
        self.weights, self.training = weights, training

    def norm(self, x, name):
        running = [self.weights[f"{name}.running_{what}"].clone() for what in ("mean", "var")]
        affine = [self.weights.get(f"{name}.{what}") for what in ("weight", "bias")]
        return functional.batch_norm(x, *running, *affine, self.training)

    def conv(self, x, name, **options):
        return functional.conv2d(x, self.weights[f"{name}.weight"], **options)

    def halve(self, x, name, norm):
        x = x.relu()
        shifted = x[:, :, 1:, 1:]
        pieces = [self.conv(x, f"{name}.conv1", stride=2)]
        pieces.append(self.conv(shifted, f"{name}.conv2", stride=2))
        return self.norm(torch.cat(pieces, 1), f"{name}.{norm}")

    def preprocess(self, x, name):
        if f"{name}.conv1.weight" in self.weights:
            return self.halve(x, name, "bn")
        return self.norm(self.conv(x.relu(), f"{name}.conv"), f"{name}.bn")

    def operation(self, kind, x, name, stride):
        if "pool" in kind:
            if kind.startswith("max"):
                return functional.max_pool2d(x, 3, stride, 1)
            return functional.avg_pool2d(x, 3, stride, 1, count_include_pad=False)
        if kind == "skip_connect":
            return x if stride == 1 else self.halve(x, name, "bn1")
        if kind == "conv_7x1_1x7":
            x = self.conv(x.relu(), f"{name}.conv1", stride=(1, stride), padding=(0, 3))
            x = self.conv(x, f"{name}.conv2", stride=(stride, 1), padding=(3, 0))
            return self.norm(x, f"{name}.bn1")
        size, dilation = int(kind[-1]), 2 if kind.startswith("dil") else 1
        for half in (1, 2) if kind.startswith("sep") else (1,):
            padding = dilation * (size - 1) // 2
            options = {"padding": padding, "dilation": dilation, "groups": x.shape[1]}
            x = self.conv(x.relu(), f"{name}.dw{half}", stride=stride, **options)
            x = self.norm(self.conv(x, f"{name}.pw{half}"), f"{name}.bn{half}")
            stride = 1
        return x

    def cell(self, index, far, near):
        kind = "reduce" if index in (self.layers // 3, 2 * self.layers // 3) else "normal"
        names = [f"cells.{index}.preprocess{number}" for number in (0, 1)]
        states = [self.preprocess(x, name) for x, name in zip((far, near), names, strict=True)]
        for node, inputs in enumerate(self.genotype.cells[kind], start=2):
            terms, seen = [], []
            for operation, source in inputs:
                seen.append((operation, source))
                again = seen.count((operation, source))
                name = f"cells.{index}.edges.{node}_{source}.{operation}"
                name += f"_{again}" if again > 1 else ""
                stride = 2 if kind == "reduce" and source < 2 else 1
                terms.append(self.operation(operation, states[source], name, stride))
            states.append(sum(terms))
        return torch.cat([states[node] for node in self.genotype.concat[kind]], 1)

    def auxiliary(self, x, stride):
        x = functional.avg_pool2d(x.relu(), 5, stride, count_include_pad=False)
        x = self.norm(self.conv(x, "auxiliary.conv1"), "auxiliary.bn1").relu()
        x = self.conv(x, "auxiliary.conv2")
        x = self.norm(x, "auxiliary.bn2") if "auxiliary.bn2.weight" in self.weights else x
        return self.linear(x.relu().flatten(1), "auxiliary.classifier")

    def linear(self, x, name):
        return functional.linear(x, *(self.weights[f"{name}.{w}"] for w in ("weight", "bias")))

    def stem(self, x):
        if "stem.conv.weight" in self.weights:
            x = self.norm(self.conv(x, "stem.conv", padding=1), "stem.bn")
            return x, x
        x = self.norm(self.conv(x, "stem0.conv1", stride=2, padding=1), "stem0.bn1").relu()
        far = self.norm(self.conv(x, "stem0.conv2", stride=2, padding=1), "stem0.bn2")
        near = self.conv(far.relu(), "stem1.conv1", stride=2, padding=1)
        return far, self.norm(near, "stem1.bn1")

    def __call__(self, images):
        far, near = self.stem(images)
        second = None
        for index in range(self.layers):
            far, near = near, self.cell(index, far, near)
            has_head = self.training and "auxiliary.conv1.weight" in self.weights
            if has_head and index == 2 * self.layers // 3:
                second = self.auxiliary(near, 3 if "stem.conv.weight" in self.weights else 2)
        return self.linear(near.mean((2, 3)), "classifier"), second


def scrambled(network):
    """Give every normalisation numbers of its own."""
    draw = torch.Generator().manual_seed(0)
    for name, value in [*network.named_parameters(), *network.named_buffers()]:
        if value.ndim == 1:
            spread = torch.rand(value.shape, generator=draw) + 0.5
            value.data.copy_(spread - 1 if name.endswith("mean") else spread)
    return network


CASES = [
    (CifarNetwork, drawn(1), 6, 5, True, 32),
    (CifarNetwork, drawn(2), 5, 7, False, 8),
    (CifarNetwork, drawn(3), 6, 11, True, 32),
    (CifarNetwork, zoo.load("nasnet_a"), 6, 6, False, 16),
    (CifarNetwork, zoo.load("amoebanet_a"), 3, 13, False, 8),
    (CifarNetwork, drawn(4), 4, 2, False, 8),
    (CifarNetwork, drawn(5), 4, 1, False, 8),
    (ImageNetNetwork, drawn(6), 6, 5, False, 64),
    (ImageNetNetwork, zoo.load("darts_v1"), 2, 4, True, 224),
]
IDS = [f"{case[0].__name__}-{case[3]}-cells" for case in CASES]


@pytest.mark.parametrize("way", [nullcontext, kernels.disabled], ids=["compiled", "torch"])
@pytest.mark.parametrize(("kind", "genotype", "channels", "layers", "head", "side"), CASES, ids=IDS)
def test_a_network_of_any_size_computes_what_is_written(
    kind, genotype, channels, layers, head, side, way
):
    torch.set_default_dtype(torch.float64)
    network = scrambled(kind(genotype, channels, layers, CLASSES, auxiliary=head))
    images = torch.randn(3, 3, side, side)
    learnt = dict(network.named_parameters())
    for training in (False, True):
        weights = {name: value.clone() for name, value in network.state_dict().items()}
        leaves = {name: weights[name].requires_grad_() for name in learnt}
        expected, second = WrittenOut(genotype, layers, weights, training)(images)
        with way():
            found = network.train(training)(images)
            of_mine = gradients(found.logits, found.auxiliary, learnt)
        torch.testing.assert_close(found.logits, expected, rtol=1e-9, atol=1e-10)
        assert (found.auxiliary is None) == (second is None) == (not (head and training))
        if second is not None:
            torch.testing.assert_close(found.auxiliary, second, rtol=1e-9, atol=1e-10)
        torch.testing.assert_close(
            of_mine, gradients(expected, second, leaves), rtol=1e-9, atol=1e-10
        )


def gradients(logits, auxiliary, leaves):
    """Return the gradients of a sum of all outputs that weighs each differently, by name."""
    outputs = [logits] if auxiliary is None else [logits, auxiliary]
    total = sum((out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum() for out in outputs)
    found = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
    return dict(zip(leaves, found, strict=True))


def size(operation, channels, stride):
    """Return the parameters of an operation with affine normalisation."""
    square, norm = channels**2, 2 * channels
    if operation == "skip_connect":
        return 0 if stride == 1 else square + norm
    if "pool" in operation:
        return 0
    if operation == "conv_7x1_1x7":
        return 14 * square + norm
    half = channels * int(operation[-1]) ** 2 + square + norm
    return 2 * half if operation.startswith("sep") else half


def size_of_network(kind, genotype, channels, layers, head):
    if kind is CifarNetwork:
        count, far, near = 3 * channels * 27 + 6 * channels, 3 * channels, 3 * channels
    else:
        half, far, near = channels // 2, channels, channels
        count = 27 * half + 2 * half + 9 * half * channels + 9 * channels**2 + 4 * channels
    for index in range(layers):
        cell = "reduce" if index in (layers // 3, 2 * layers // 3) else "normal"
        channels *= 2 if cell == "reduce" else 1
        count += (far + near) * channels + 4 * channels
        for _, source, operation in genotype.edges(cell):
            count += size(operation, channels, 2 if cell == "reduce" and source < 2 else 1)
        far, near = near, channels * len(genotype.concat[cell])
        if index == 2 * layers // 3 and head:
            count += near * 128 + 256 + 128 * 768 * 4 + 769 * CLASSES
            count += 2 * 768 if kind is CifarNetwork else 0
    return count + (near + 1) * CLASSES


@pytest.mark.parametrize(("kind", "genotype", "channels", "layers", "head", "side"), CASES, ids=IDS)
def test_a_network_of_any_size_has_the_parameters_of_its_parts(
    kind, genotype, channels, layers, head, side
):
    with torch.device("meta"):
        network = kind(genotype, channels, layers, CLASSES, auxiliary=head)
    found = sum(parameter.numel() for parameter in network.parameters())
    assert found == size_of_network(kind, genotype, channels, layers, head)
