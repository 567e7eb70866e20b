"""The text formats of the field."""

from lnas.errors import InputError
from lnas.genotype.model import Genotype


def parse(text: str, origin: str = "the text") -> Genotype:
    """Read a genotype in any known format."""
    if text.lstrip().startswith("{"):
        return Genotype.from_json(text, origin)
    raise InputError(f"{origin} holds no known format of a genotype.")


def render(genotype: Genotype, style: str | None = None) -> str:
    """Write a genotype."""
    return genotype.to_json()
