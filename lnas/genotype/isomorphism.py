"""Isomorphism."""

from lnas.genotype.model import Genotype


def representative(genotype: Genotype) -> Genotype:
    """Return the representative."""
    return genotype
