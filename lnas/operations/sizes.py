"""Image sizes that reduction cells can halve."""

from lnas.errors import InputError


def check_halvings(height: int, width: int, halvings: int) -> None:
    """Check that an image can be halved so often without an odd side on the way.

    Args:
        height: Height in pixels.
        width: Width in pixels.
        halvings: Number of reductions of stride 2.

    Raises:
        InputError: A side is not a positive multiple of 2**halvings.
    """
    unit = 2**halvings
    if height < 1 or width < 1 or height % unit or width % unit:
        up = tuple(max(-(-side // unit), 1) * unit for side in (height, width))
        raise InputError(
            f"image size {height}x{width} cannot be halved {halvings} times; both sides must be "
            f"multiples of {unit}: resize or crop to e.g. {up[0]}x{up[1]}"
        )
