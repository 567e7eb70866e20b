"""Operation strengths: the released numbers, a naive oracle, and what must not change."""

import copy
import dataclasses
import itertools
import math
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib import util
from pathlib import Path

import pytest
import torch

from lnas.derivation import OperationStrength, SelectionContext
from lnas.derivation.comparison import compare
from lnas.derivation.deciding import choose_operation, weakest_edge
from lnas.derivation.draft import Draft
from lnas.errors import InputError
from lnas.relaxations import GateSample, Softmax
from lnas.spaces import DartsSpace, NasBench201Space, RecurrentSpace
from lnas.supernet import Architecture, ConvolutionalSupernet, NasBench201Supernet

_spec = util.spec_from_file_location("strength_parts", Path(__file__).with_name("strength.py"))
parts = util.module_from_spec(_spec)
_spec.loader.exec_module(parts)

CLOSE = {"rtol": 1e-9, "atol": 1e-10}
PATHS = ["fused", "reference"]


def released(golden, name, space, net):
    """Return the context of a golden file, and the file."""
    case = golden(name)
    missing = net.load_state_dict(case.part("param/"), strict=False)
    assert not missing.unexpected_keys
    assert all("running" in key or "bias" in key for key in missing.missing_keys)
    architecture = Architecture(space, Softmax()).double()
    for kind in space.cell_types:
        alpha = case.data["alpha" if kind == "cell" else f"alpha_{kind}"]
        architecture.logits[kind].data.copy_(alpha)
    batches = list(zip(case.data["input"], case.data["labels"], strict=True))
    return parts.context_of(net, architecture, batches), case


def check_edge(context, draft, place, case, key):
    """Compare losses, accuracies and both choices of one edge; return the choice by loss."""
    chosen = {}
    for measured, name, scale in (("loss", "loss", 1), ("accuracy", "acc", -100)):
        choice = choose_operation(context, draft, place, "mask", measured, None)
        base = compare(context, [draft.sample()], measured, None).values[0]
        columns = len(case[f"{key}/{measured}"])
        values = scale * (choice.strengths[:columns] + base * (1 if scale > 0 else -1))
        torch.testing.assert_close(values, case[f"{key}/{measured}"], **CLOSE)
        assert choice.index == int(case[f"{key}/best_by_{name}"])
        chosen[measured] = choice.index
    return chosen["loss"]


@pytest.mark.parametrize("path", PATHS)
def test_strengths_of_darts_are_those_of_the_released_code(golden, path):
    torch.set_default_dtype(torch.float64)
    setting = golden("darts_pt").setting
    space = DartsSpace(setting["operations"])
    net = ConvolutionalSupernet(space, setting["channels"], setting["layers"], setting["classes"])
    net.path = path
    context, case = released(golden, "darts_pt", space, net)
    draft = Draft.of(context.architecture)
    for measured, scale in (("loss", 1), ("accuracy", 100)):
        base = compare(context, [draft.sample()], measured, None).values[0] * scale
        torch.testing.assert_close(base, case.data[f"base_{measured}"], **CLOSE)
    best = check_edge(context, draft, ("normal", 3), case.data, "normal_3")
    check_edge(context, draft, ("reduce", 6), case.data, "reduce_6")
    draft = draft.select("normal", 3, best)
    torch.testing.assert_close(
        draft.gates["normal"], case.data["projected_weights_normal"], **CLOSE
    )
    check_edge(context, draft, ("normal", 10), case.data, "normal_10_after_projection")
    samples = [draft.select("normal", 10, column).sample() for column in range(7)]
    for measured, scale in (("loss", 1), ("accuracy", 100)):
        values = compare(context, samples, measured, None).values * scale
        torch.testing.assert_close(values, case.data[f"normal_10_select/{measured}"], **CLOSE)
    # Which edges node 4 of the reduction cell loses; the released code forgets the first in
    # the second round, so that its losses are those of the first round.
    rows = space.incoming(int(case.data["topology/node"]))
    samples = [draft.without("reduce", row).sample() for row in rows]
    values = compare(context, samples, "loss", None).values
    torch.testing.assert_close(values, case.data["topology/loss"][:4], **CLOSE)
    choices = OperationStrength("mask", topology="once").prune(context, draft, "reduce", rows, 4)
    kept = [row for row in rows if row not in [choice.index for choice in choices]]
    assert kept == case.data["topology/kept_rows"].tolist()
    first = weakest_edge(context, draft, "reduce", rows, "loss", None)
    assert first.index == choices[0].index == rows[int(values.argmin())]


@pytest.mark.parametrize("path", PATHS)
def test_strengths_of_nasbench201_are_those_of_the_released_code(golden, path):
    torch.set_default_dtype(torch.float64)
    setting = golden("darts_pt_nasbench201").setting
    space = NasBench201Space()
    assert list(space.operations) == setting["operations"]
    net = NasBench201Supernet(
        space, setting["channels"], setting["cells_per_stage"], setting["classes"]
    )
    net.path = path
    for name, value in net.named_parameters():
        if name.endswith("conv1.bias"):  # the released search of DARTS-PT has none
            value.data.zero_()
    context, case = released(golden, "darts_pt_nasbench201", space, net)
    draft = Draft.of(context.architecture)
    best = check_edge(context, draft, ("cell", 4), case.data, "edge_4")
    draft = draft.select("cell", 4, best)
    torch.testing.assert_close(draft.gates["cell"], case.data["projected_weights"], **CLOSE)
    check_edge(context, draft, ("cell", 1), case.data, "edge_1_after_projection")


def linear_context():
    """One edge whose operations give 1, 3 and -2.5, gates 0.2, 0.45, 0.35, target 1."""
    torch.set_default_dtype(torch.float64)
    space = RecurrentSpace(["tanh", "relu", "sigmoid"], nodes=1)
    architecture = Architecture(space, Softmax()).double()
    gates = torch.tensor([[0.2, 0.45, 0.35]])
    architecture.logits["recurrent"].data.copy_(gates.log())
    outputs = torch.tensor([1.0, 3.0, -2.5])

    def measures(samples, batch):
        losses = [(sample.gates["recurrent"][0] @ outputs - 1).square() for sample in samples]
        return [{"loss": loss, "examples": torch.ones(())} for loss in losses]

    return SelectionContext(architecture, batches=lambda: iter([None]), measures=measures)


@pytest.mark.parametrize(
    ("mode", "losses", "best"),
    [("select", [0, 4, 12.25], "tanh"), ("mask", [0.275625, 2.805625, 0.3025], "relu")],
)
def test_select_and_mask_disagree_on_a_linear_supernet(mode, losses, best):
    context = linear_context()
    criterion = OperationStrength(mode)
    scores = criterion.scores(context)["recurrent"][0]
    sign = -1 if mode == "select" else 1
    torch.testing.assert_close(scores, sign * (torch.tensor(losses) - 0.105625))
    (decision,) = criterion.decisions
    assert decision.operation == best
    ranked = sorted(losses, reverse=mode == "mask")
    assert decision.margin == pytest.approx(abs(ranked[0] - ranked[1]))
    assert decision.margin_error is None  # a single batch tells nothing of its error


def test_the_first_of_operations_that_equal_but_for_rounding_is_derived():
    context = linear_context()
    losses = iter([torch.tensor([1.0, 0.5, 0.5 - 1e-16, 0.7])])

    def measures(samples, batch):
        return [{"loss": loss, "examples": torch.ones(())} for loss in next(losses)]

    criterion = OperationStrength("select")
    scores = criterion.scores(dataclasses.replace(context, measures=measures))
    (decision,) = criterion.decisions
    assert decision.strengths["relu"] > decision.strengths["tanh"]
    assert (decision.operation, decision.margin) == ("tanh", 0.0)
    derived = context.architecture.space.derive(scores)
    assert derived.edges("recurrent") == [(1, 0, "tanh")]


def first(costs, wanted):
    return next(index for index, cost in enumerate(costs) if abs(cost - wanted) < 1e-12)


def naive_genotype(context, mode, measured):
    """Decide edge by edge, then node by node, with one whole pass for each candidate and batch."""
    space, net = context.architecture.space, context.supernet
    tables = {name: t.detach().clone() for name, t in context.architecture.probabilities().items()}

    def cost(changed):
        total, examples = 0.0, 0
        for images, labels in context.batches():
            logits = net(images, changed).logits
            if measured == "loss":
                total += float(torch.nn.functional.cross_entropy(logits, labels)) * len(labels)
            else:
                total += float((logits.argmax(-1) != labels).sum())
            examples += len(labels)
        return total / examples

    with torch.no_grad():
        for row in range(len(space.edges)):
            for kind in space.cell_types:
                costs = []
                for column in range(len(space.operations)):
                    changed = {name: table.clone() for name, table in tables.items()}
                    if mode == "select":
                        changed[kind][row] = 0
                    changed[kind][row, column] = float(mode == "select")
                    costs.append(cost(changed))
                best = first(costs, min(costs) if mode == "select" else max(costs))
                tables[kind][row] = 0
                tables[kind][row, best] = 1
        for kind in space.cell_types:
            for node in range(space.inputs, space.inputs + space.nodes):
                rows = space.incoming(node)
                while space.rule.inputs is not None and len(rows) > space.rule.inputs:
                    costs = []
                    for row in rows:
                        changed = {name: table.clone() for name, table in tables.items()}
                        changed[kind][row] = 0
                        costs.append(cost(changed))
                    gone = rows.pop(first(costs, min(costs)))
                    tables[kind][gone] = 0
    return space.derive({name: t.masked_fill(t == 0, -torch.inf) for name, t in tables.items()})


@pytest.mark.parametrize(
    ("kind", "mode", "measured"),
    [
        ("darts", "select", "loss"),
        ("darts", "mask", "accuracy"),
        *itertools.product(["nasbench201"], ["select", "mask"], ["loss", "accuracy"]),
    ],
)
def test_the_derived_cell_is_that_of_a_naive_loop(kind, mode, measured):
    context = parts.small_context(kind, batches=2, nodes=3)
    space = context.architecture.space
    criterion = OperationStrength(mode, measured)
    found = space.derive(criterion.scores(context))
    with context.supernet.using("reference"), torch.no_grad():
        context.supernet.train(False)
        for layer in context.supernet.modules():
            if hasattr(layer, "statistics"):
                layer.statistics = "batch"
        assert found == naive_genotype(context, mode, measured)
    if kind == "darts":
        assert [len(node) for node in found.cells["normal"]] == [2, 2, 2]
        assert len(criterion.decisions) == 2 * (9 + 1 + 2)
    else:
        assert len(criterion.decisions) == 6


def test_masking_what_gives_nothing_changes_nothing():
    scores = OperationStrength("mask").strengths(parts.small_context("nasbench201"))["cell"]
    assert (scores[:, 0] == 0).all()  # none
    assert (scores[:, 1:] != 0).all()


def test_margins_have_the_standard_error_of_the_differences():
    context = parts.small_context("nasbench201")
    criterion = OperationStrength()
    decision = criterion.decide(context, Draft.of(context.architecture), ("cell", 2)).decision
    draft = Draft.of(context.architecture)
    ranked = sorted(decision.strengths, key=decision.strengths.__getitem__, reverse=True)
    columns = [context.architecture.space.operations.index(name) for name in ranked[:2]]
    samples = [draft.select("cell", 2, column).sample() for column in columns]
    rows = [context.measures(samples, batch) for batch in context.batches()]
    differences = torch.stack([row[1]["loss"] - row[0]["loss"] for row in rows])
    weights = torch.tensor([6.0, 6.0, 4.0]) / 16
    mean = (weights * differences).sum()
    variance = (weights**2 * (differences - mean) ** 2).sum() * 3 / 2
    assert decision.margin == pytest.approx(float(mean), rel=1e-9)
    assert decision.margin_error == pytest.approx(math.sqrt(variance), rel=1e-6)
    assert criterion.decide(context, draft, ("cell", 2)).decision.operation == ranked[0]


def test_the_error_of_the_margin_shrinks_to_that_of_equal_batches():
    values = torch.randn(50, 2, dtype=torch.float64)
    rows = iter(values)

    def measures(samples, batch):
        return [{"loss": v, "examples": torch.tensor(8.0)} for v in next(rows)]

    context = SelectionContext(
        linear_context().architecture, batches=lambda: iter(range(50)), measures=measures
    )
    found = compare(context, [None, None], "loss", None)
    differences = values[:, 0] - values[:, 1]
    assert found.error(0, 1) == pytest.approx(float(differences.std()) / math.sqrt(50))


def test_ranks_with_other_batches_decide_as_one_process_does():
    whole = parts.small_context("nasbench201", batches=2)
    alone = OperationStrength(edge_order="by_margin")
    expected = alone.scores(whole)["cell"]
    meeting, slots = threading.Barrier(2, timeout=60), [None, None]

    def rank(number):
        def average(tensor):
            slots[number] = tensor
            meeting.wait()
            mean = (slots[0] + slots[1]) / 2
            meeting.wait()
            return mean

        net, own = copy.deepcopy(whole.supernet), list(whole.batches())[number]
        context = parts.context_of(net, whole.architecture, [own], average=average, ranks=2)
        criterion = OperationStrength(edge_order="by_margin")
        return criterion.scores(context)["cell"], criterion.decisions

    with ThreadPoolExecutor(2) as pool:
        (first, decisions), (second, same) = pool.map(rank, range(2))
    assert torch.equal(first, second)
    assert decisions == same
    torch.testing.assert_close(first, expected)
    for mine, theirs in zip(decisions, alone.decisions, strict=True):
        assert mine.operation == theirs.operation
        assert mine.margin_error == pytest.approx(theirs.margin_error)


def test_random_orders_follow_both_seeds_and_margins_come_first():
    context = parts.small_context("nasbench201")
    places = [("cell", row) for row in range(6)]

    def order(name, seed=0, run=3):
        changed = parts.context_of(
            context.supernet, context.architecture, list(context.batches()), seed=run
        )
        return OperationStrength(edge_order=name, seed=seed).order(changed, places)

    assert order("topological") == places
    assert sorted(order("random")) == places
    assert order("random") == order("random") != order("random", seed=1) != order("random", run=4)
    criterion = OperationStrength(edge_order="by_margin")
    criterion.scores(context)
    names = [context.architecture.space.edges[row].name for _, row in order("by_margin")]
    assert [decision.edge for decision in criterion.decisions] == names
    draft = Draft.of(context.architecture)
    margins = [criterion.decide(context, draft, p).decision.margin for p in order("by_margin")]
    assert margins == sorted(margins, reverse=True)


@pytest.mark.parametrize("mode", ["select", "mask"])
def test_fixed_edges_and_closed_operations_are_honoured(mode):
    context = parts.small_context()
    architecture, space = context.architecture, context.architecture.space
    architecture.fix("normal", "3_2", "avg_pool_3x3")
    architecture.close("normal", "3_1", "skip_connect")
    for operation in space.operations:
        architecture.close("reduce", "3_1", operation)
    scores = OperationStrength(mode).scores(context)
    assert scores["normal"][space.edge_row("3_1"), 0] == -torch.inf
    found = space.derive(scores)
    assert (3, 2, "avg_pool_3x3") in found.edges("normal")
    assert [source for _, source in found.cells["reduce"][1]] == [0, 2]
    assert [len(node) for node in found.cells["normal"]] == [2, 2]


def test_the_rule_s_exclusions_are_no_candidates():
    torch.manual_seed(0)
    space = DartsSpace(nodes=2)
    net = ConvolutionalSupernet(space, channels=2, layers=3, num_classes=4)
    batches = [(torch.randn(4, 3, 8, 8), torch.arange(4))]
    context = parts.context_of(net, Architecture(space, Softmax()), batches)
    criterion = OperationStrength(topology="strength", batches=1)
    scores = criterion.scores(context)
    assert all((table[:, 0] == -torch.inf).all() for table in scores.values())
    assert all("none" not in d.strengths for d in criterion.decisions)
    assert len(criterion.decisions) == 10
    chosen = {(d.cell_type, d.edge): d.operation for d in criterion.decisions}
    for kind in space.cell_types:  # the rule takes the strongest edges, each with its choice
        for node, source, operation in space.derive(scores).edges(kind):
            assert chosen[kind, f"{node}_{source}"] == operation


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mode": "prune"}, "choose one of select, mask"),
        ({"criterion": "perplexity"}, "choose one of loss, accuracy"),
        ({"edge_order": "up"}, "topological, random, by_margin"),
        ({"topology": "all"}, "greedy, once, strength"),
        ({"batches": 0}, "batches=0 measures nothing"),
    ],
)
def test_unknown_options_are_refused(options, said):
    with pytest.raises(InputError, match=said):
        OperationStrength(**options)


def test_the_draft_leaves_the_architecture_alone():
    context = parts.small_context()
    architecture = context.architecture
    before = {name: value.clone() for name, value in architecture.state_dict().items()}
    masks = {name: mask.clone() for name, mask in architecture.host_masks().items()}
    OperationStrength().scores(context)
    assert all(torch.equal(v, before[n]) for n, v in architecture.state_dict().items())
    assert all(torch.equal(v, masks[n]) for n, v in architecture.host_masks().items())
    assert isinstance(Draft.of(architecture).sample(), GateSample)
