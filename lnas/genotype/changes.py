"""What changes from one genotype to another, connection by connection."""

from collections import Counter
from dataclasses import dataclass

from lnas.errors import InputError
from lnas.genotype.model import Genotype


@dataclass(frozen=True)
class Change:
    """What becomes of one connection.

    Args:
        node: The state that it leads to.
        source: The state that it comes from.
        old: Its operation before; "" if it was not there.
        new: Its operation after; "" if it is gone.
    """

    node: int
    source: int
    old: str
    new: str

    @property
    def kind(self) -> str:
        """One of "kept", "changed", "removed" and "added"."""
        if self.old == self.new:
            return "kept"
        return "changed" if self.old and self.new else "removed" if self.old else "added"


def changes(a: Genotype, b: Genotype) -> dict[str, list[Change]]:
    """Return what becomes of each connection, those that stay among them, per cell type.

    Where an edge carries several operations it is not said which of them took whose place.

    Raises:
        InputError: They are of different spaces.
    """
    if a.space != b.space:
        raise InputError(
            f"A genotype of the space {a.space} cannot be compared with one of {b.space}; "
            "give two of one space."
        )
    found = {}
    for kind in a.cells:
        before, after = Counter(a.edges(kind)), Counter(b.edges(kind))
        removed, added = list((before - after).elements()), list((after - before).elements())
        listed = [Change(*edge, edge[2]) for edge in (before & after).elements()]
        for node, source in {edge[:2] for edge in removed + added}:
            old = [name for n, s, name in removed if (n, s) == (node, source)]
            new = [name for n, s, name in added if (n, s) == (node, source)]
            if len(old) == len(new) == 1:
                listed.append(Change(node, source, old[0], new[0]))
                continue
            listed += [Change(node, source, name, "") for name in old]
            listed += [Change(node, source, "", name) for name in new]
        found[kind] = sorted(listed, key=lambda c: (c.node, c.source, not c.old, c.old, c.new))
    return found
