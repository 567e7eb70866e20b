"""Whether the weights of a checkpoint fit: one line, before torch says it in hundreds."""

from collections.abc import Mapping

from torch import Tensor

from lnas.errors import InputError


def check_shapes(
    theirs: Mapping[str, Tensor], ours: Mapping[str, Tensor], what: str, remedy: str
) -> None:
    """Refuse weights of other names or shapes.

    Args:
        theirs: What the checkpoint holds, by name.
        ours: What it is to be loaded into.
        what: What is loaded, e.g. "search".
        remedy: What to give instead.

    Raises:
        InputError: A name is missing on one side, or a shape differs.
    """
    for name in sorted(set(theirs) | set(ours)):
        shapes = [tuple(s[name].shape) if name in s else "missing" for s in (theirs, ours)]
        if shapes[0] != shapes[1]:
            raise InputError(
                f"The checkpoint does not fit this {what}: {name} is {shapes[0]} in the checkpoint "
                f"and {shapes[1]} here; {remedy}."
            )
