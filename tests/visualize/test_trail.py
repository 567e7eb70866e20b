"""Searches side by side: each edge of each epoch in the colour of what it would derive."""

import matplotlib.image
import numpy as np
import pytest

from lnas.errors import InputError
from lnas.genotype import Genotype
from lnas.spaces import zoo
from lnas.visualize.trail import NOT_DERIVED, Trail, draw_trails, operation_colours, trails_figure

OPERATIONS = ["skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"]
EDGES = ["1_0", "2_0", "2_1", "3_0", "3_1", "3_2"]


def trail(name="DARTS", **changed):
    lively = Genotype.from_text(
        "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|avg_pool_3x3~1|nor_conv_3x3~2|"
    )
    skips = Genotype.from_text(
        "|skip_connect~0|+|skip_connect~0|skip_connect~1|+"
        "|skip_connect~0|skip_connect~1|skip_connect~2|"
    )
    gates = np.full((3, 6, 4), 0.25)
    gates[2] = [0.7, 0.1, 0.1, 0.1]
    made = {"edges": EDGES, "operations": OPERATIONS, "gates": {"cell": gates}}
    return Trail(name, genotypes=[lively, skips, skips], **(made | changed))


def test_the_strip_has_the_colour_of_what_each_epoch_derives():
    figure = trails_figure([trail("DARTS"), trail("PR-DARTS")])
    strips = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title(loc="left") for axes in strips] == ["DARTS", "PR-DARTS"]
    colours = operation_colours(OPERATIONS)
    image = strips[0].images[0].get_array()
    expected = ["nor_conv_3x3", None, "nor_conv_1x1", "skip_connect", "avg_pool_3x3"]
    expected.append("nor_conv_3x3")
    for row, name in enumerate(expected):
        np.testing.assert_allclose(image[row, 0], NOT_DERIVED if name is None else colours[name])
    assert np.allclose(image[:, 1:], colours["skip_connect"])
    labels = [text.get_text() for text in strips[0].get_yticklabels()]
    first = "$c_{k-1}$"  # as in the pictures of cells and gates
    assert labels == [
        f"{first} → 0", f"{first} → 1", "0 → 1", f"{first} → 2", "0 → 2", "1 → 2",
    ]  # fmt: skip


def test_the_bands_are_the_shares_of_the_gates():
    figure = trails_figure([trail()])
    (shares,) = (axes for axes in figure.axes if axes.collections)
    tops = [band.get_paths()[0].vertices for band in shares.collections]
    for epoch, expected in ((1, 0.25), (3, 0.7)):
        at = tops[0][np.isclose(tops[0][:, 0], epoch - 0.5)][:, 1]
        assert expected in np.round(at, 9)


def test_operations_of_one_family_have_different_shades():
    colours = operation_colours([*OPERATIONS, "none"])
    assert len(set(colours.values())) == 5


def test_each_cell_type_has_a_panel_and_the_picture_is_written(tmp_path):
    found = zoo.load("darts_v2")
    edges = [f"{node}_{source}" for node in range(2, 6) for source in range(node)]
    operations = ["none", "max_pool_3x3", "skip_connect", "sep_conv_3x3", "dil_conv_3x3"]
    gates = {kind: np.full((2, 14, 5), 0.2) for kind in ("normal", "reduce")}
    darts = Trail("DARTS", edges, operations, gates, [found, found])
    figure = trails_figure([darts])
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.images]
    assert titles == ["DARTS, normal cell", "DARTS, reduction cell"]
    draw_trails([darts], tmp_path / "trail.png")
    assert matplotlib.image.imread(tmp_path / "trail.png").std() > 0.05


def test_runs_of_different_spaces_are_refused():
    other = trail("other", operations=[*OPERATIONS[:3], "none"])
    with pytest.raises(InputError, match=r"other and DARTS search different spaces; give runs of"):
        trails_figure([trail(), other])
