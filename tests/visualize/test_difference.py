"""Two cells over each other: every connection of both is there once, and tells what it becomes."""

import pytest
from matplotlib.patches import FancyBboxPatch, PathPatch

from lnas.genotype import Genotype, changes
from lnas.spaces import zoo
from lnas.visualize import difference_figure, draw_difference
from lnas.visualize.difference import STROKES
from lnas.visualize.palette import label


def cell_201(text):
    return Genotype.from_text(text)


PAIRS = {
    "darts": (zoo.load("darts_v1"), zoo.load("darts_v2")),
    "nodes-of-other-numbers": (zoo.load("darts_v2"), zoo.load("amoebanet_a")),
    "recurrent": (zoo.load("darts_rnn_v1"), zoo.load("darts_rnn_v2")),
    "nasbench201": (
        cell_201("|nor_conv_3x3~0|+|none~0|avg_pool_3x3~1|+|skip_connect~0|none~1|none~2|"),
        cell_201("|skip_connect~0|+|skip_connect~0|none~1|+|skip_connect~0|none~1|none~2|"),
    ),
}


def named(change):
    if change.kind == "changed":
        return f"{label(change.old)} → {label(change.new)}"
    return label(change.old or change.new)


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_each_connection_of_both_is_drawn_once_as_what_it_becomes(pair):
    listed = [change for found in changes(*pair).values() for change in found]
    (axes,) = difference_figure(*pair).axes
    texts = [text.get_text() for text in axes.texts if text.get_gid() == "name"]
    merged = {"concat", "mean", "sum"}
    assert sorted(text for text in texts if text not in merged) == sorted(map(named, listed))
    arrows = [p for p in axes.patches if isinstance(p, PathPatch)]
    for kind, stroke in STROKES.items():
        drawn = [a for a in arrows if a.get_linewidth() == stroke.width]
        assert len(drawn) == sum(change.kind == kind for change in listed), kind
        assert all((a.get_linestyle() not in ("-", "solid")) == (kind == "removed") for a in drawn)


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_no_text_meets_another_or_leaves_its_box(pair):
    figure = difference_figure(*pair, names=("runs/a/genotype.json", "runs/b/genotype.json"))
    figure.canvas.draw()
    (axes,) = figure.axes
    texts = [text.get_window_extent(figure.canvas.get_renderer()) for text in axes.texts]
    boxes = [p.get_window_extent() for p in axes.patches if isinstance(p, FancyBboxPatch)]
    for number, text in enumerate(texts):
        assert figure.bbox.x0 < text.x0 < text.x1 < figure.bbox.x1
        assert not any(text.overlaps(other) for other in texts[:number])
    assert sum(any(b.x0 < t.x0 and t.x1 < b.x1 for b in boxes) for t in texts) >= len(boxes)


def test_the_legend_tells_whose_connections_are_whose():
    a, b = PAIRS["nasbench201"]
    axes = difference_figure(a, b, ("one", "other")).axes[0]
    legend = [text.get_text() for text in axes.texts if text.get_gid() == "legend"]
    assert legend == ["in both", "operation of one → other", "only in one", "only in other"]
    axes = difference_figure(a, a).axes[0]
    assert [t.get_text() for t in axes.texts if t.get_gid() == "legend"] == ["in both"]


def test_the_same_cells_give_the_same_bytes(tmp_path):
    for name in ("a.svg", "b.svg"):
        draw_difference(*PAIRS["darts"], tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
