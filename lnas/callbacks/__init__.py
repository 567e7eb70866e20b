"""Callbacks: what a search method adds to the loop, and what every run records."""

from lnas.callbacks.admm import ADMM
from lnas.callbacks.anneal import Anneal
from lnas.callbacks.architecture_pictures import ArchitecturePictures
from lnas.callbacks.averaged_weights import AveragedWeights
from lnas.callbacks.benchmark_accuracy import BenchmarkAccuracy
from lnas.callbacks.capture_graphs import CaptureGraphs
from lnas.callbacks.checkpoint_cells import CheckpointCells
from lnas.callbacks.checkpoint_io import AtomicCheckpointIO
from lnas.callbacks.checkpoints import Checkpoints
from lnas.callbacks.child_validation import ChildValidation
from lnas.callbacks.collapse_warning import CollapseWarning
from lnas.callbacks.compile_cells import CompileCells
from lnas.callbacks.constant_schedule import ConstantSchedule
from lnas.callbacks.derive_genotype import DeriveGenotype
from lnas.callbacks.discretization_gap import DiscretizationGap
from lnas.callbacks.early_fix import EarlyFix
from lnas.callbacks.early_stop import EarlyStop
from lnas.callbacks.eigenvalue_stop import EigenvalueStop
from lnas.callbacks.fisher_schedule import FisherSchedule
from lnas.callbacks.genotype_trail import GenotypeTrail
from lnas.callbacks.graceful_stop import GracefulStop
from lnas.callbacks.group_penalty import GroupPenalty
from lnas.callbacks.hessian_eigenvalue import HessianEigenvalue
from lnas.callbacks.live_terminal import LiveTerminal
from lnas.callbacks.path_depth import PathDepth
from lnas.callbacks.project import Project
from lnas.callbacks.proximity import Proximity
from lnas.callbacks.prune_closed import PruneClosed
from lnas.callbacks.resource_cost import ResourceCost
from lnas.callbacks.return_to_best import ReturnToBest
from lnas.callbacks.run_card import RunCard
from lnas.callbacks.skip_count_stop import SkipCountStop
from lnas.callbacks.stable_ranking_stop import StableRankingStop
from lnas.callbacks.warmup import Warmup
from lnas.callbacks.wiring_diagnostics import WiringDiagnostics
from lnas.callbacks.zero_one_loss import ZeroOneLoss

__all__ = [
    "ADMM",
    "Anneal",
    "ArchitecturePictures",
    "AtomicCheckpointIO",
    "AveragedWeights",
    "BenchmarkAccuracy",
    "CaptureGraphs",
    "CheckpointCells",
    "Checkpoints",
    "ChildValidation",
    "CollapseWarning",
    "CompileCells",
    "ConstantSchedule",
    "DeriveGenotype",
    "DiscretizationGap",
    "EarlyFix",
    "EarlyStop",
    "EigenvalueStop",
    "FisherSchedule",
    "GenotypeTrail",
    "GracefulStop",
    "GroupPenalty",
    "HessianEigenvalue",
    "LiveTerminal",
    "PathDepth",
    "Project",
    "Proximity",
    "PruneClosed",
    "ResourceCost",
    "ReturnToBest",
    "RunCard",
    "SkipCountStop",
    "StableRankingStop",
    "Warmup",
    "WiringDiagnostics",
    "ZeroOneLoss",
]
