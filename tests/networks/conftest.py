"""Published genotypes, written down here independently of the zoo."""

from types import SimpleNamespace

import pytest

from lnas.genotype import Genotype

MAX, AVG, SKIP = "max_pool_3x3", "avg_pool_3x3", "skip_connect"
SEP3, SEP5, SEP7, DIL3 = "sep_conv_3x3", "sep_conv_5x5", "sep_conv_7x7", "dil_conv_3x3"


def darts(normal, reduce, concat=(2, 3, 4, 5), reduce_concat=None):
    """Build a genotype from flat lists of two pairs a node."""

    def nodes(pairs):
        return [pairs[start : start + 2] for start in range(0, len(pairs), 2)]

    cells = {"normal": nodes(normal), "reduce": nodes(reduce)}
    return Genotype("darts", cells, {"normal": concat, "reduce": reduce_concat or concat})


V1 = darts(
    [(SEP3, 1), (SEP3, 0), (SKIP, 0), (SEP3, 1), (SKIP, 0), (SEP3, 1), (SEP3, 0), (SKIP, 2)],
    [(MAX, 0), (MAX, 1), (SKIP, 2), (MAX, 0), (MAX, 0), (SKIP, 2), (SKIP, 2), (AVG, 0)],
)
V2 = darts(
    [(SEP3, 0), (SEP3, 1), (SEP3, 0), (SEP3, 1), (SEP3, 1), (SKIP, 0), (SKIP, 0), (DIL3, 2)],
    [(MAX, 0), (MAX, 1), (SKIP, 2), (MAX, 1), (MAX, 0), (SKIP, 2), (SKIP, 2), (MAX, 1)],
)
NASNET = darts(
    [
        *[(SEP5, 1), (SEP3, 0), (SEP5, 0), (SEP3, 0), (AVG, 1), (SKIP, 0)],
        *[(AVG, 0), (AVG, 0), (SEP3, 1), (SKIP, 1)],
    ],
    [
        *[(SEP5, 1), (SEP7, 0), (MAX, 1), (SEP7, 0), (AVG, 1), (SEP5, 0)],
        *[(SKIP, 3), (AVG, 2), (SEP3, 2), (MAX, 1)],
    ],
    (2, 3, 4, 5, 6),
    (4, 5, 6),
)
AMOEBANET = darts(
    [
        *[(AVG, 0), (MAX, 1), (SEP3, 0), (SEP5, 2), (SEP3, 0), (AVG, 3)],
        *[(SEP3, 1), (SKIP, 1), (SKIP, 0), (AVG, 1)],
    ],
    [
        *[(AVG, 0), (SEP3, 1), (MAX, 0), (SEP7, 2), (SEP7, 0), (AVG, 1)],
        *[(MAX, 0), (MAX, 1), ("conv_7x1_1x7", 0), (SEP3, 5)],
    ],
    (4, 5, 6),
    (3, 4, 6),
)


@pytest.fixture(scope="session")
def published():
    """Genotypes by name, and the helper that builds them."""
    return SimpleNamespace(v1=V1, v2=V2, nasnet=NASNET, amoebanet=AMOEBANET, darts=darts)
