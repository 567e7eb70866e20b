"""Pictures of cells, gates, searches and studies: matplotlib alone, without global state."""

from lnas.visualize.cell import cell_figure, draw_genotype
from lnas.visualize.criteria import criteria_figure, draw_criteria
from lnas.visualize.difference import difference_figure, draw_difference
from lnas.visualize.gates import draw_gates, gates_figure
from lnas.visualize.glance import draw_glance, glance_figure
from lnas.visualize.seeds import seed_dots, seed_lines
from lnas.visualize.strength import draw_strengths, strength_figure

__all__ = [
    "cell_figure",
    "criteria_figure",
    "difference_figure",
    "draw_criteria",
    "draw_difference",
    "draw_gates",
    "draw_genotype",
    "draw_glance",
    "draw_strengths",
    "gates_figure",
    "glance_figure",
    "seed_dots",
    "seed_lines",
    "strength_figure",
]
