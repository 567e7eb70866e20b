"""Callbacks: what a search method adds to the loop, and what every run records."""

from lnas.callbacks.architecture_pictures import ArchitecturePictures
from lnas.callbacks.checkpoint_io import AtomicCheckpointIO
from lnas.callbacks.checkpoints import Checkpoints
from lnas.callbacks.collapse_warning import CollapseWarning
from lnas.callbacks.constant_schedule import ConstantSchedule
from lnas.callbacks.derive_genotype import DeriveGenotype
from lnas.callbacks.discretization_gap import DiscretizationGap
from lnas.callbacks.genotype_trail import GenotypeTrail
from lnas.callbacks.graceful_stop import GracefulStop
from lnas.callbacks.run_card import RunCard
from lnas.callbacks.warmup import Warmup

__all__ = [
    "ArchitecturePictures",
    "AtomicCheckpointIO",
    "Checkpoints",
    "CollapseWarning",
    "ConstantSchedule",
    "DeriveGenotype",
    "DiscretizationGap",
    "GenotypeTrail",
    "GracefulStop",
    "RunCard",
    "Warmup",
]
