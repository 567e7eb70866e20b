"""The trail of a search, read from its folder."""

import json
from pathlib import Path

import numpy as np

from lnas.callbacks import ArchitecturePictures, GenotypeTrail
from lnas.derivation.scores import FILE as SCORES
from lnas.errors import InputError
from lnas.genotype import Genotype
from lnas.loggers import JsonLines
from lnas.visualize.trail import Trail


def read_trail(source: str) -> Trail:
    """Read what a finished search left behind.

    Args:
        source: The run folder, or NAME=FOLDER; without a name it is called like its folder.

    Raises:
        InputError: It is no folder of a finished search that noted its gates and genotypes.
    """
    name, equals, place = source.partition("=")
    folder = Path(place if equals else source)
    needed = (SCORES, ArchitecturePictures.FILE, GenotypeTrail.FILE)
    missing = [file for file in needed if not (folder / file).is_file()]
    if missing:
        raise InputError(
            f"{folder} has no {', no '.join(missing)}; give the folder of a finished search with "
            "the callbacks ArchitecturePictures and GenotypeTrail."
        )
    scores = json.loads((folder / SCORES).read_text(encoding="utf-8"))
    gates = [line["gates"] for line in JsonLines(folder / ArchitecturePictures.FILE).read()]
    lines = JsonLines(folder / GenotypeTrail.FILE).read()
    return Trail(
        name if equals else folder.resolve().name,
        scores["edges"],
        scores["operations"],
        {kind: np.array([epoch[kind] for epoch in gates]) for kind in gates[0]},
        [Genotype.from_json(json.dumps(line["genotype"])) for line in lines],
    )
