"""Pictures of cells, gates and searches, drawn with matplotlib alone and without global state."""

from lnas.visualize.cell import cell_figure, draw_genotype

__all__ = ["cell_figure", "draw_genotype"]
