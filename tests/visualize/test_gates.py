import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex

from lnas.errors import InputError
from lnas.spaces import DartsSpace, NasBench201Space
from lnas.visualize import draw_gates, gates_figure
from lnas.visualize.palette import family


def _history(space, epochs):
    generator = torch.Generator().manual_seed(3)
    shape = (len(space.edges), len(space.operations))
    return [
        {kind: torch.rand(shape, generator=generator).softmax(-1) for kind in space.cell_types}
        for _ in range(epochs)
    ]


@pytest.mark.parametrize("space", [DartsSpace(), NasBench201Space()], ids=lambda s: s.name)
def test_each_edge_shows_its_own_gates_in_the_colours_of_families(space):
    history = _history(space, 5)
    figure = gates_figure(history, space)
    panels = figure.axes
    assert len(panels) == len(space.cell_types) * len(space.edges)
    for index, axes in enumerate(panels):
        kind, row = space.cell_types[index // len(space.edges)], index % len(space.edges)
        assert len(axes.lines) == len(space.operations)
        for column, (line, name) in enumerate(zip(axes.lines, space.operations, strict=True)):
            expected = [float(gates[kind][row, column]) for gates in history]
            np.testing.assert_allclose(line.get_ydata(), expected, rtol=1e-6)
            assert to_hex(line.get_color()) == family(name).colour.lower()
        thick = [line.get_linewidth() for line in axes.lines]
        assert thick.index(max(thick)) == int(history[-1][kind][row].argmax())


def test_operations_of_one_family_differ_in_their_dashes():
    space = DartsSpace()
    lines = gates_figure(_history(space, 2), space).axes[0].lines
    looks = [(line.get_color(), str(line._unscaled_dash_pattern)) for line in lines]
    assert len(set(looks)) == len(space.operations)


def test_one_epoch_is_drawn_as_points(tmp_path):
    space = NasBench201Space()
    draw_gates(_history(space, 1), space, tmp_path / "gates.png")
    assert (tmp_path / "gates.png").stat().st_size > 10_000
    assert gates_figure(_history(space, 1), space).axes[0].lines[0].get_marker() == "o"


def test_an_empty_history_and_a_foreign_shape_are_refused(tmp_path):
    space = NasBench201Space()
    with pytest.raises(InputError, match="No gates to draw"):
        draw_gates([], space, tmp_path / "gates.png")
    with pytest.raises(InputError, match=r"shape \(14, 8\).*\(6, 5\)"):
        draw_gates([{"cell": torch.zeros(14, 8)}], space, tmp_path / "gates.png")
    assert not list(tmp_path.iterdir())
