"""The picture of gates against strengths shows every candidate and every edge."""

import torch

from lnas.spaces import DartsSpace
from lnas.visualize import draw_strengths, strength_figure


def test_points_are_the_candidates_and_bars_the_edges(tmp_path):
    torch.manual_seed(0)
    space = DartsSpace()
    gates = {kind: torch.rand(14, 8) for kind in space.cell_types}
    strengths = {kind: torch.randn(14, 8) for kind in space.cell_types}
    for table in strengths.values():
        table[:, 0] = -torch.inf
        table[3, 1] = -torch.inf
    correlations = {"normal": [0.5, None, *[-0.25] * 12], "reduce": [None] * 14}
    things = gates, strengths, correlations, space
    figure = strength_figure(*things, "strength (nats)")
    points, bars = figure.axes[:2]
    assert sum(len(line.get_xdata()) for line in points.lines[:-1]) == 14 * 7 - 1
    assert [patch.get_height() for patch in bars.patches] == [0.5, 0.0, *[-0.25] * 12]
    assert "mean -0.19" in bars.get_title(loc="left")
    assert "no edge has two candidates" in figure.axes[3].get_title(loc="left")
    for suffix in (".png", ".svg"):
        draw_strengths(*things, tmp_path / f"strength{suffix}")
    assert (tmp_path / "strength.png").read_bytes()[:4] == b"\x89PNG"
