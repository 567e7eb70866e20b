"""The DARTS space: its edges, the released derivation, and RobustDARTS's candidate sets."""

from itertools import product
from math import comb, prod

import pytest
import torch
from torch import nn

from lnas.errors import InputError
from lnas.genotype import Genotype
from lnas.operations import register
from lnas.spaces import DartsSpace, Edge, EveryEdge, SearchSpace, StrongestInputs, zoo

SPACE = DartsSpace()
TIED = {kind: torch.full((14, 8), 0.125) for kind in SPACE.cell_types}


def sine():
    """Logits whose genotype the released code gives: sin(0), sin(1), ..., in float32."""
    logits = torch.sin(torch.arange(112, dtype=torch.float32)).reshape(14, 8)
    return {"normal": logits.softmax(-1), "reduce": torch.zeros(14, 8).softmax(-1)}


def test_edges_are_ordered_by_target_then_source():
    assert len(SPACE.edges) == 14
    assert [edge.name for edge in SPACE.edges[:5]] == ["2_0", "2_1", "3_0", "3_1", "3_2"]
    assert SPACE.edges[-1] == Edge(5, 4)
    assert SPACE.incoming(2) == [0, 1]
    assert SPACE.incoming(5) == [9, 10, 11, 12, 13]
    assert SPACE.operations[0] == "none"
    assert SPACE.operations[7] == "dil_conv_5x5"


def test_all_ties_give_the_two_inputs_with_max_pooling():  # released code at logits 0
    node = (("max_pool_3x3", 0), ("max_pool_3x3", 1))
    assert SPACE.derive(TIED).cells == {"normal": (node,) * 4, "reduce": (node,) * 4}


def test_sine_logits_give_the_released_codes_cell():
    assert SPACE.derive(sine()).cells["normal"] == (
        (("avg_pool_3x3", 0), ("dil_conv_3x3", 1)),
        (("sep_conv_3x3", 0), ("skip_connect", 1)),
        (("sep_conv_3x3", 1), ("avg_pool_3x3", 2)),
        (("skip_connect", 1), ("sep_conv_3x3", 4)),
    )


@pytest.mark.parametrize("kind", ["normal", "reduce"])
def test_derivation_equals_the_released_code_on_the_golden_net(golden, kind):
    stored = golden("darts_supernet")
    scores = {k: stored.data[f"alpha_{k}"].softmax(-1) for k in ("normal", "reduce")}
    pairs = [str(pair).split("~") for pair in stored.data[f"genotype_{kind}"]]
    expected = [[(name, int(source)) for name, source in pairs[i : i + 2]] for i in (0, 2, 4, 6)]
    derived = DartsSpace().derive(scores).cells[kind]
    assert [set(node) for node in derived] == [set(node) for node in expected]


def test_number_of_derivable_cells_is_the_papers_formula():  # prod over k of C(k + 1, 2) * ops^2
    assert prod(comb(k + 1, 2) * 7**2 for k in range(1, 5)) == 1_037_664_180
    space = DartsSpace(("none", "skip_connect", "sep_conv_3x3"), nodes=2)
    found = set()
    for columns in product((1, 2), repeat=5):
        for weakest in space.incoming(3):
            table = torch.zeros(5, 3)
            table[range(5), columns] = 1
            table[weakest] /= 2
            found.add(space.derive({"normal": table, "reduce": table}))
    assert len(found) == prod(comb(k + 1, 2) * 2**2 for k in (1, 2))


def test_registered_operation_is_searched_and_derived(monkeypatch):
    monkeypatch.setattr("lnas.genotype.vocabulary._added", [])
    monkeypatch.setattr("lnas.operations.table._TABLE", {})
    register("shuffle", lambda channels, stride, affine, search: nn.Identity())
    space = DartsSpace(("none", "shuffle"))
    genotype = space.derive({k: torch.ones(14, 2) for k in space.cell_types})
    assert Genotype.from_json(genotype.to_json()) == genotype
    assert genotype.cells["normal"][0] == (("shuffle", 0), ("shuffle", 1))


def test_projection_has_ones_exactly_where_the_genotype_has_operations():
    projected = SPACE.project(sine())
    genotype = SPACE.derive(sine())
    for kind in SPACE.cell_types:
        assert projected[kind].sum() == 8
        torch.testing.assert_close(projected[kind], SPACE.one_hot(genotype)[kind])
    assert projected["normal"][0, 2] == 1  # avg_pool_3x3 on 2_0


def test_projection_is_idempotent_and_keeps_the_dtype():
    once = SPACE.project({k: v.double() for k, v in sine().items()})
    assert once["normal"].dtype == torch.float64
    twice = SPACE.project(once)
    assert all(torch.equal(once[kind], twice[kind]) for kind in once)


@pytest.mark.parametrize("name", ["darts_v1", "darts_v2", "snas_aggressive", "pr_darts"])
def test_one_hot_gates_derive_back_to_their_genotype(name):
    genotype = zoo.load(name)
    gates = SPACE.one_hot(genotype)
    for kind in SPACE.cell_types:
        gates[kind][:, 0] = 1 - gates[kind].sum(-1)  # none where there is no edge
    assert DartsSpace(rule=EveryEdge()).derive(gates) == genotype


def test_every_edge_drops_edges_whose_best_operation_is_none():  # SNAS
    space = DartsSpace(rule=EveryEdge())
    table = torch.zeros(14, 8)
    table[:, 0] = 1
    table[3, 4] = 2
    genotype = space.derive({"normal": table, "reduce": table})
    assert genotype.cells["normal"] == ((), (("sep_conv_3x3", 1),), (), ())
    projected = space.project({"normal": table, "reduce": table})["normal"]
    assert projected.sum(-1).eq(1).all()
    assert projected[0, 0] == 1
    assert projected[3, 4] == 1


@pytest.mark.parametrize(
    ("name", "sizes"),  # operations, then how many each edge offers
    [("s1", (6, 2)), ("s2", (2, 2)), ("s3", (3, 3)), ("s4", (2, 2))],
)
def test_candidate_sets_of_robust_darts(name, sizes):
    space = DartsSpace(edge_operations=name)
    for kind in space.cell_types:
        candidates = space.candidates(kind)
        assert candidates.shape == (14, sizes[0])
        assert candidates.sum(-1).eq(sizes[1]).all()


def test_s1_offers_the_released_operations():
    space = DartsSpace(edge_operations="s1")

    def offered(kind, edge):
        row = space.candidates(kind)[space.edge_row(edge)].tolist()
        return {name for name, flag in zip(space.operations, row, strict=True) if flag}

    assert offered("normal", "2_0") == {"skip_connect", "dil_conv_3x3"}
    assert offered("normal", "4_0") == {"max_pool_3x3", "skip_connect"}
    assert offered("normal", "5_4") == {"dil_conv_3x3", "dil_conv_5x5"}
    assert offered("reduce", "2_1") == {"max_pool_3x3", "dil_conv_3x3"}
    assert offered("reduce", "4_1") == {"max_pool_3x3", "sep_conv_3x3"}


def test_derivation_never_leaves_the_candidates():
    space = DartsSpace(edge_operations="s1")
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        scores = {k: torch.rand(14, 6, generator=generator) for k in space.cell_types}
        space.validate(space.derive(scores))


def test_candidates_can_be_named_edge_by_edge():
    space = DartsSpace(edge_operations={"normal": {"3_2": ["skip_connect"]}})
    assert space.candidates("normal")[4].sum() == 1
    assert space.candidates("normal")[3].sum() == 8
    assert space.candidates("reduce").all()
    lists = {"reduce": [["skip_connect", "sep_conv_3x3"]] * 14}
    assert DartsSpace(edge_operations=lists).candidates("reduce").sum() == 28


def test_candidates_cannot_be_changed_from_outside():
    SPACE.candidates("normal").zero_()
    assert SPACE.candidates("normal").all()


def test_closed_operations_are_never_derived():
    scores = {k: v.clone() for k, v in TIED.items()}
    scores["normal"][0, 1] = -torch.inf
    assert SPACE.derive(scores).cells["normal"][0][0] == ("avg_pool_3x3", 0)


def test_rows_and_columns_are_found_by_name_and_number():
    assert SPACE.edge_row("5_4") == SPACE.edge_row(13) == SPACE.edge_row(Edge(5, 4)) == 13
    assert SPACE.operation_column("skip_connect") == SPACE.operation_column(3) == 3


def test_spaces_are_search_spaces_of_their_rule():
    assert isinstance(SPACE, SearchSpace)
    assert isinstance(SPACE.rule, StrongestInputs)
    assert DartsSpace(rule=StrongestInputs(1)).derive(sine()).edges("normal")[0][1] in (0, 1)
    assert len(DartsSpace(rule=StrongestInputs(1)).derive(sine()).edges("normal")) == 4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DartsSpace(("none", "sep_conv_9x9")), "'sep_conv_9x9'.*sep_conv_3x3"),
        (lambda: DartsSpace(("tanh",)), "Unknown operation 'tanh'"),
        (lambda: DartsSpace(("none", "none")), "each once"),
        (lambda: DartsSpace(()), "one or more"),
        (lambda: DartsSpace(nodes=0), "0 nodes"),
        (lambda: DartsSpace(edge_operations="s9"), "'s9'; use s1, s2, s3 or s4"),
        (lambda: DartsSpace(("none",), edge_operations="s2"), "leave `operations` out"),
        (lambda: DartsSpace(nodes=3, edge_operations="s1"), "4 nodes"),
        (lambda: DartsSpace(edge_operations={"cell": {}}), "use normal, reduce"),
        (lambda: DartsSpace(edge_operations={"normal": {"2_5": []}}), "'2_5'; use 2_0"),
        (lambda: DartsSpace(edge_operations={"normal": {"2_0": []}}), "one or more operations"),
        (lambda: DartsSpace(edge_operations={"normal": {"2_0": "none"}}), "give a list"),
        (lambda: DartsSpace(edge_operations={"normal": [["none"]]}), "1 edges; the cell has 14"),
        (lambda: DartsSpace(edge_operations={"normal": {"2_0": ["noise"]}}), "'noise'"),
        (lambda: SPACE.edge_row("9_9"), "'9_9'; use one of 2_0"),
        (lambda: SPACE.edge_row(14), "Unknown edge 14"),
        (lambda: SPACE.operation_column("conv"), "'conv'; use none, max_pool_3x3"),
        (lambda: SPACE.derive({"normal": torch.zeros(14, 8)}), "reduce have shape nothing"),
        (lambda: SPACE.derive({k: torch.zeros(14, 7) for k in TIED}), r"\(14, 7\); give \(14, 8\)"),
        (lambda: SPACE.derive({k: v * torch.nan for k, v in TIED.items()}), "hold NaN"),
        (lambda: SPACE.validate(zoo.load("darts_rnn_v1")), "space recurrent.*needs darts"),
        (lambda: SPACE.one_hot(zoo.load("nasnet_a")), "5 nodes; the space has 4"),
        (
            lambda: DartsSpace(edge_operations="s2").validate(zoo.load("darts_v2")),
            "dil_conv_3x3 from state 2 is not offered.*skip_connect, sep_conv_3x3",
        ),
        (
            lambda: DartsSpace(nodes=1).validate(
                Genotype("darts", {k: [[("skip_connect", 0)] * 2] for k in TIED})
            ),
            "node 2 reads state 0 twice",
        ),
    ],
)
def test_bad_input_is_one_line(make, message):
    with pytest.raises(InputError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
