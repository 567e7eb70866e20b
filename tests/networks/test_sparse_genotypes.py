"""Genotypes of a rule that may choose *none*: edges and nodes are missing, up to all of them."""

import random

import pytest
import torch

from lnas.callbacks.derive_genotype import is_blind
from lnas.errors import InputError
from lnas.genotype import Genotype
from lnas.networks import CifarNetwork, build
from lnas.spaces import DartsSpace, EveryEdge, zoo
from lnas.supernet import ConvolutionalSupernet
from lnas.visualize import draw_genotype

SKIP, SEP5 = "skip_connect", "sep_conv_5x5"
NOTHING = [[], [], [], []]
EMPTY = {
    "darts": Genotype("darts", {"normal": NOTHING, "reduce": NOTHING}),
    "nasbench201": Genotype("nasbench201", {"cell": [[], [], []]}),
}


def aggressive_scores():
    """Scores whose best operations are those of SNAS's published aggressive cells."""
    space = DartsSpace(rule=EveryEdge())
    scores = {}
    for kind, table in space.one_hot(zoo.load("snas_aggressive")).items():
        table[table.sum(-1) == 0, space.operations.index("none")] = 1
        scores[kind] = 0.05 + 0.6 * table
    return space, scores


def test_the_best_of_all_operations_leaves_edges_and_nodes_out():
    space, scores = aggressive_scores()
    genotype = space.derive(scores)
    assert genotype == zoo.load("snas_aggressive")
    assert [len(node) for node in genotype.cells["reduce"]] == [1, 1, 0, 0]
    # The projection has its one on *none* where the genotype has no edge.
    none = space.operations.index("none")
    projected = space.project(scores)["reduce"]
    assert (projected.sum(-1) == 1).all()
    assert projected[:, none].sum() == 12


def test_nodes_without_inputs_keep_their_channels():
    network = CifarNetwork(zoo.load("snas_aggressive"), channels=4, layers=3)
    outputs = []
    network.cells[1].register_forward_hook(lambda *args: outputs.append(args[-1]))
    scores = network(torch.randn(2, 3, 8, 8)).logits
    assert outputs[0].shape == (2, 32, 4, 4)  # four nodes of eight channels
    assert not outputs[0][:, 16:].any()
    assert outputs[0][:, :16].abs().sum() > 0
    assert scores.shape == (2, 10)


@pytest.mark.parametrize("space", EMPTY)
def test_cells_of_nothing_give_one_answer_to_all_images(space):
    network = build(EMPTY[space], channels=4).eval()
    with torch.no_grad():
        answers = network(torch.randn(3, 3, 8, 8)).logits
    assert torch.isfinite(answers).all()
    assert torch.equal(answers[0], answers[1])
    assert torch.equal(answers[0], answers[2])
    if space == "darts":  # without an affine normalisation behind the cells, it is the bias
        torch.testing.assert_close(answers[0], network.classifier.bias)


@pytest.mark.parametrize("path", ["fused", "reference"])
def test_a_supernet_of_nothing_gives_one_answer_to_all_images(path):
    space = DartsSpace(rule=EveryEdge())
    supernet = ConvolutionalSupernet(space, 4, 3)
    supernet.path = path
    answers = supernet(torch.randn(3, 3, 8, 8), space.one_hot(EMPTY["darts"])).logits
    for row in answers:
        torch.testing.assert_close(row, supernet.classifier.bias)


@pytest.mark.parametrize(
    ("normal", "reduce", "blind"),
    [
        ([[(SKIP, 0)], [], [], []], [[(SKIP, 1)], [], [], []], False),
        (NOTHING, [[(SKIP, 0)], [], [], []], True),
        # Around two dead reduction cells the way leads through both inputs, in turn.
        ([[(SKIP, 0)], [], [], []], NOTHING, True),
        ([[(SKIP, 1)], [], [], []], NOTHING, True),
        ([[(SKIP, 1), (SKIP, 0)], [], [], []], NOTHING, False),
        # Nodes that read nothing but nodes without inputs.
        ([[], [(SKIP, 2)], [], [(SKIP, 3)]], [[(SKIP, 0)], [], [], []], True),
    ],
)
def test_a_blind_network_is_known_from_its_genotype(normal, reduce, blind):
    genotype = Genotype("darts", {"normal": normal, "reduce": reduce})
    images = torch.randn(2, 3, 4, 4, requires_grad=True)
    answers = CifarNetwork(genotype, channels=2)(images).logits
    (gradient,) = torch.autograd.grad(answers.sum(), images, allow_unused=True)
    assert (gradient is None) == blind
    assert is_blind(genotype) == blind


def test_a_blind_nasbench201_cell_has_no_way_from_its_input_to_its_output():
    ways = ["|skip_connect~0|+|none~0|none~1|+|none~0|none~1|skip_connect~2|"]
    ways += ["|skip_connect~0|+|none~0|none~1|+|none~0|nor_conv_1x1~1|none~2|"]
    assert [is_blind(Genotype.from_text(text)) for text in ways] == [True, False]


def test_random_sparse_genotypes_build_draw_and_convert(tmp_path):
    draw = random.Random(0)

    def cell():
        inputs = [[s for s in range(node) if draw.random() < 0.3] for node in range(2, 6)]
        return [[(draw.choice([SKIP, SEP5, "max_pool_3x3"]), s) for s in node] for node in inputs]

    for index in range(4):
        genotype = Genotype("darts", {"normal": cell(), "reduce": cell()})
        assert Genotype.from_text(genotype.to_text("snas")) == genotype
        assert Genotype.from_json(genotype.to_json()) == genotype
        assert CifarNetwork(genotype, 2, 3)(torch.randn(2, 3, 8, 8)).logits.isfinite().all()
        draw_genotype(genotype, tmp_path / f"{index}.svg")
        assert "<svg" in (tmp_path / f"{index}.svg").read_text()


@pytest.mark.parametrize(
    ("genotype", "style", "message"),
    [
        (zoo.load("snas_aggressive"), "darts", "reduce, node 2 has 1 inputs"),
        (EMPTY["darts"], "darts", "normal, node 2 has 0 inputs"),
        (EMPTY["darts"], "nasbench201", "use darts, snas or json"),
    ],
)
def test_formats_that_cannot_hold_them_say_so(genotype, style, message):
    with pytest.raises(InputError, match=message):
        genotype.to_text(style)
