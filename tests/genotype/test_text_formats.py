"""The field's text formats, as the released codes print them; they are parsed, never executed."""

import random
from contextlib import suppress

import pytest

from lnas.errors import InputError
from lnas.genotype import Genotype
from lnas.spaces import zoo

# As printed by the search code of DARTS (its published second-order cell).
DARTS = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
    "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), "
    "('dil_conv_3x3', 2)], normal_concat=range(2, 6), reduce=[('max_pool_3x3', 0), "
    "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=range(2, 6))"
)
# SNAS's all-edge form of a cell with fan-in 1, 1, 3, 0.
FOURTEEN = [
    ("sep_conv_5x5", 0), ("none", 1),
    ("none", 1), ("none", 0), ("dil_conv_3x3", 2),
    ("skip_connect", 3), ("max_pool_3x3", 0), ("none", 1), ("avg_pool_3x3", 2),
    ("none", 0), ("none", 1), ("none", 2), ("none", 4), ("none", 3),
]  # fmt: skip
STRING = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|none~1|nor_conv_1x1~2|"
RECURRENT = "Genotype(recurrent=[('relu', 0), ('tanh', 1), ('identity', 1)], concat=range(1, 4))"


def two_cells(normal, reduce, concat="range(2, 6)"):
    return (
        f"Genotype(normal={normal!r}, normal_concat={concat}, "
        f"reduce={reduce!r}, reduce_concat={concat})"
    )


def test_darts_text_gives_the_published_cell():
    genotype = Genotype.from_text(DARTS)
    assert genotype.cells["normal"] == (
        (("sep_conv_3x3", 0), ("sep_conv_3x3", 1)),
        (("sep_conv_3x3", 0), ("sep_conv_3x3", 1)),
        (("skip_connect", 0), ("sep_conv_3x3", 1)),
        (("skip_connect", 0), ("dil_conv_3x3", 2)),
    )
    assert genotype.cells["reduce"][3] == (("max_pool_3x3", 1), ("skip_connect", 2))
    assert genotype.concat == {"normal": (2, 3, 4, 5), "reduce": (2, 3, 4, 5)}


@pytest.mark.parametrize(
    "text",
    [
        DARTS.replace("range(2, 6)", "[2, 3, 4, 5]"),
        DARTS.replace("range(2, 6)", "(2, 3, 4, 5)"),
        f"DARTS_V2 = {DARTS}\n",
        f"2018-06-11 09:55:13,123 genotype = {DARTS}",
        DARTS.replace(", ", ",\n    ").replace("'", '"'),
    ],
)
def test_darts_text_is_found_in_its_many_dresses(text):
    assert Genotype.from_text(text) == Genotype.from_text(DARTS)


def test_snas_lists_every_edge_and_none_is_no_edge():
    genotype = Genotype.from_text(two_cells(FOURTEEN, FOURTEEN))
    assert genotype.cells["normal"] == (
        (("sep_conv_5x5", 0),),
        (("dil_conv_3x3", 2),),
        (("max_pool_3x3", 0), ("avg_pool_3x3", 2), ("skip_connect", 3)),
        (),
    )
    assert Genotype.from_text(genotype.to_text("snas")) == genotype


def test_fourteen_entries_are_seven_nodes_when_the_output_says_so():
    pairs = [("skip_connect", 0), ("sep_conv_3x3", 1)] * 7
    genotype = Genotype.from_text(two_cells(pairs, pairs, "range(2, 9)"))
    assert len(genotype.cells["normal"]) == 7
    assert Genotype.from_text(genotype.to_text("darts")) == genotype


def test_top_two_lists_may_hold_none_as_snas_aggressive_does():
    pairs = [("sep_conv_5x5", 0), ("none", 1), ("none", 1), ("none", 0)]
    genotype = Genotype.from_text(two_cells(pairs, pairs, "[2, 3]"))
    assert genotype.cells["reduce"] == ((("sep_conv_5x5", 0),), ())


@pytest.mark.parametrize("text", [STRING, f"Structure(4 nodes with {STRING})", f"{STRING}\n"])
def test_nasbench201_string_gives_its_cell(text):
    genotype = Genotype.from_text(text)
    assert genotype.cells["cell"] == (
        (("nor_conv_3x3", 0),),
        (("skip_connect", 1),),
        (("avg_pool_3x3", 0), ("nor_conv_1x1", 2)),
    )
    assert genotype.to_text() == STRING


@pytest.mark.parametrize("text", [RECURRENT, "[('relu', 0), ('tanh', 1), ('identity', 1)]"])
def test_recurrent_list_gives_its_cell(text):
    genotype = Genotype.from_text(text)
    assert genotype.cells["recurrent"] == ((("relu", 0),), (("tanh", 1),), (("identity", 1),))
    assert genotype.to_text("rnn") == RECURRENT


def test_random_genotypes_come_back_from_every_style_that_holds_them():
    draw = random.Random(0)
    operations = ["sep_conv_3x3", "skip_connect", "max_pool_3x3", "sep_conv_7x7"]

    def cell(nodes, fan_in):
        return [
            [(draw.choice(operations), source) for source in draw.sample(range(node), fan_in(node))]
            for node in range(2, 2 + nodes)
        ]

    for _ in range(50):
        nodes = draw.randint(1, 8)
        for style, fan_in in (("darts", lambda node: 2), ("snas", lambda n: draw.randint(0, n))):
            cells = {"normal": cell(nodes, fan_in), "reduce": cell(nodes, fan_in)}
            genotype = Genotype("darts", cells)
            assert Genotype.from_text(genotype.to_text(style)) == genotype
            assert Genotype.from_text(genotype.to_text("json")) == genotype


@pytest.mark.parametrize(
    ("genotype", "style", "message"),
    [
        (Genotype.from_text(two_cells(FOURTEEN, FOURTEEN)), "darts", "normal, node 2 has 1 inputs"),
        (
            Genotype("darts", {k: [[("skip_connect", 0)] * 3] for k in ("normal", "reduce")}),
            "darts",
            "normal, node 2 has 3 inputs and the style darts holds 2",
        ),
        (zoo.load("nasnet_a"), "snas", "normal, node 3 reads a source twice"),
        (Genotype.from_text(STRING), "darts", "this one is of nasbench201; use nasbench201"),
        (Genotype.from_text(RECURRENT), "snas", "use rnn or json"),
        (Genotype.from_text(STRING), "yaml", "Unknown style 'yaml'.*darts, snas"),
    ],
)
def test_format_that_cannot_hold_a_genotype_refuses_it_naming_the_node(genotype, style, message):
    with pytest.raises(InputError, match=message):
        genotype.to_text(style)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("darts", "starts with 'darts'"),
        (DARTS[:-40], "cut off"),
        (DARTS[: DARTS.index("(") + 1], "no end"),
        (DARTS + DARTS, "2 times"),
        (DARTS.replace("range(2, 6)", "range(2, 10 ** 9)", 1), "neither a list of states"),
        (DARTS.replace("range(2, 6)", "range(2, 1000000000)", 1), "longer than 64"),
        (DARTS.replace("range(2, 6)", "range(0, 99999999999999999999)", 1), "longer than 64"),
        (DARTS.replace("range(2, 6)", "range()", 1), "neither"),
        (DARTS.replace("range(2, 6)", "[]", 1), "concat is empty"),
        (DARTS.replace("range(2, 6)", "range(2, 7)", 1), "normal: concat"),
        (DARTS.replace("range(2, 6)", "__import__('os')", 1), "neither"),
        (DARTS.replace("'sep_conv_3x3', 0", "open('x'), 0", 1), "entry 0 is not a pair"),
        (DARTS.replace("'sep_conv_3x3', 0", "'sep_conv_3x3', 0.0", 1), "entry 0 is"),
        (DARTS.replace("'sep_conv_3x3', 0", "'sep_conv_9x9', 0", 1), "node 2: unknown operation"),
        (DARTS.replace("('dil_conv_3x3', 2)", "('dil_conv_3x3', 5)"), "node 5.*source 5"),
        (DARTS.replace(", ('dil_conv_3x3', 2)", ""), "has 7 entries"),
        (DARTS.replace("reduce=", "extra="), "the fields"),
        (DARTS.replace("reduce=", "normal="), "twice"),
        ("Genotype(1, 2)", "not of the form"),
        ("Genotype(**{})", "holds"),
        ("Genotype(" + "[" * 300 + "]" * 300 + ")", "nested|cannot be read"),
        ("Genotype(normal=" + "-" * 60000 + "1)", "nested|cannot be read|fields"),
        ("Genotype(normal=" + "1+" * 30000 + "1)", "nested|cannot be read|fields"),
        ("Genotype(normal='" + "x" * 70000 + "')", "longer than 65,536"),
        ("Genotype(normal='\\d')", "the fields"),
        ("Genotype(normal='\0')", "odd characters|cannot be read"),
        ("[('relu', 0), ('none', 1)]", "unknown operation 'none'"),
        ("[('relu', 1)]", "source 1"),
        (STRING.replace("nor_conv_1x1", "sep_conv_3x3"), "node 3: unknown operation"),
        (STRING.replace("|none~1", ""), "node 3 must name each of its 3 sources"),
        (STRING.replace("none~1", "none~2"), "node 3 must name"),
        (STRING.replace("none~1", "none"), "op~source"),
        ("|nor_conv_3x3~0|", "1 nodes.*has 3"),
    ],
)
def test_bad_text_is_one_short_line(text, message):
    with pytest.raises(InputError, match=message) as caught:
        Genotype.from_text(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("text", [DARTS, STRING, RECURRENT])
def test_no_mutation_of_a_text_gives_anything_but_a_genotype_or_an_input_error(text):
    draw = random.Random(1)
    for _ in range(500):
        place, length = draw.randrange(len(text)), draw.randrange(4)
        mutated = text[:place] + draw.choice("()[],'|~+=0 9é\0\n") + text[place + length :]
        with suppress(InputError):
            assert isinstance(Genotype.from_text(mutated), Genotype)
