"""The genotype refuses what fits no space, and does not care for the order of inputs."""

import copy
import pickle

import pytest

from lnas.errors import InputError
from lnas.genotype import Genotype
from lnas.genotype.vocabulary import add_operation, known_operations

NODES = [
    [("sep_conv_3x3", 0), ("skip_connect", 1)],
    [("max_pool_3x3", 2), ("dil_conv_5x5", 0)],
]


def darts(normal=NODES, reduce=NODES, **arguments):
    return Genotype("darts", {"normal": normal, "reduce": reduce}, **arguments)


def recurrent(*pairs):
    return Genotype("recurrent", {"recurrent": [[pair] for pair in pairs]})


def test_order_of_inputs_never_matters():
    turned = [list(reversed(node)) for node in NODES]
    assert darts() == darts(turned, turned)
    assert hash(darts()) == hash(darts(turned, turned))
    assert darts().hash == darts(turned, turned).hash


def test_order_of_cells_and_of_the_output_never_matters():
    other = Genotype(
        "darts", {"reduce": NODES, "normal": NODES}, {"reduce": [3, 2], "normal": [2, 3]}
    )
    assert other == darts()
    assert other.hash == darts().hash


@pytest.mark.parametrize(
    "other",
    [
        darts(reduce=[NODES[0], [("max_pool_3x3", 2), ("dil_conv_5x5", 1)]]),
        darts(reduce=[NODES[0], [("avg_pool_3x3", 2), ("dil_conv_5x5", 0)]]),
        darts(reduce=[NODES[0], [("max_pool_3x3", 2)]]),
        darts(concat={"normal": [3], "reduce": [2, 3]}),
        darts(normal=NODES[:1]),
    ],
)
def test_every_part_counts_in_equality_and_hash(other):
    assert other != darts()
    assert other.hash != darts().hash


def test_hash_is_stable_over_versions():  # files and run cards keep it
    assert darts().hash == "b49f92740171bafe"


def test_nodes_come_as_sorted_tuples_and_states_default_to_all_nodes():
    genotype = darts()
    assert genotype.cells["normal"][1] == (("dil_conv_5x5", 0), ("max_pool_3x3", 2))
    assert genotype.concat == {"normal": (2, 3), "reduce": (2, 3)}
    assert genotype.edges("normal")[2:] == [(3, 0, "dil_conv_5x5"), (3, 2, "max_pool_3x3")]
    assert Genotype("nasbench201", {"cell": [[], [], []]}).concat == {"cell": (3,)}
    assert recurrent(("tanh", 0), ("relu", 1)).concat == {"recurrent": (1, 2)}


def test_genotype_is_frozen_and_copies():
    genotype = darts()
    with pytest.raises(AttributeError):
        genotype.space = "recurrent"
    assert copy.deepcopy(genotype) == genotype
    assert pickle.loads(pickle.dumps(genotype)) == genotype


def test_a_node_may_read_a_source_twice_as_nasnet_does():
    twice = [[("avg_pool_3x3", 0), ("avg_pool_3x3", 0)]]
    assert len(darts(twice, twice).edges("normal")) == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Genotype("imagenet", {}), "Unknown space 'imagenet'.*darts, nasbench201"),
        (lambda: Genotype("darts", {"normal": NODES}), "exactly normal, reduce"),
        (lambda: Genotype("darts", [NODES]), "mapping by cell type"),
        (
            lambda: darts([[("sep_conv_9x9", 0)]]),
            "normal, node 2: unknown operation 'sep_conv_9x9'.*sep_conv_3x3",
        ),
        (lambda: darts([[("none", 0)]]), "leaving the edge out"),
        (lambda: darts([[("tanh", 0)]]), "unknown operation 'tanh'"),
        (lambda: darts([[("skip_connect", 2)]]), "node 2.*source 2; use a state from 0 to 1"),
        (lambda: darts([[("skip_connect", -1)]]), "source -1"),
        (lambda: darts([[("skip_connect", True)]]), "source True"),
        (lambda: darts([[("skip_connect", 0.0)]]), "source 0.0"),
        (lambda: darts([[("skip_connect",)]]), "must be .operation, source"),
        (lambda: darts(["skip_connect"]), "give a list"),
        (lambda: darts(7), "normal: the cell is 7"),
        (lambda: darts([]), "0 nodes"),
        (lambda: darts([[]] * 65), "65 nodes"),
        (lambda: darts([[("skip_connect", 0)] * 65]), "65 inputs"),
        (lambda: darts(concat={"normal": [2], "reduce": [4]}), "reduce: concat is .4."),
        (lambda: darts(concat={"normal": [2, 2], "reduce": [2]}), "each once"),
        (lambda: darts(concat={"normal": [2]}), "exactly normal, reduce"),
        (lambda: darts(concat={"normal": [1], "reduce": [2]}), "nodes 2, 3"),
        (lambda: Genotype("nasbench201", {"cell": [[], []]}), "2 nodes.*has 3"),
        (
            lambda: Genotype(
                "nasbench201",
                {"cell": [[("skip_connect", 0), ("nor_conv_1x1", 0)], [], []]},
            ),
            "node 1 reads a source twice",
        ),
        (lambda: Genotype("recurrent", {"recurrent": [[]]}), "node 1 has 0 inputs"),
        (lambda: recurrent(("tanh", 1)), "use a state from 0 to 0"),
    ],
)
def test_bad_genotype_is_one_line_that_says_what_where_and_what_is_allowed(make, message):
    with pytest.raises(InputError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_added_operation_can_stand_in_a_genotype(monkeypatch):
    monkeypatch.setattr("lnas.genotype.vocabulary._added", [])
    with pytest.raises(InputError, match="unknown operation 'my_op'"):
        darts([[("my_op", 0)]])
    add_operation("my_op")
    assert "my_op" in known_operations("darts")
    assert Genotype.from_json(darts([[("my_op", 0)]]).to_json()).cells["normal"][0][0][0] == "my_op"


@pytest.mark.parametrize("name", ["none", "", "a.b", "3x3", "a b"])
def test_unusable_names_cannot_be_added(name):
    with pytest.raises(InputError, match="cannot name an operation"):
        add_operation(name)
