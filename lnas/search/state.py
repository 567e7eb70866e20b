"""What a checkpoint knows of a search: plain data, so that it loads with `weights_only=True`.

The position of the weights stream is kept by its loader and by Lightning; the position of the
architecture stream, counters and measures are kept here.
"""

from typing import TYPE_CHECKING, Any

from lightning.pytorch import Trainer

from lnas.collectives import gather, of_rank
from lnas.errors import InputError
from lnas.fitting import check_shapes
from lnas.spaces import SearchSpace

if TYPE_CHECKING:
    from lnas.search.module import SearchModule

KEY = "search"


def save(module: "SearchModule", checkpoint: dict[str, Any]) -> None:
    """Add the state of the search; a collective: measures and states differ between ranks."""
    module.watch.settle()
    stream = module.stream
    checkpoint[KEY] = {
        "space": fingerprint(module.space),
        "seed": module.seed,
        "steps": module.steps,
        "architecture_steps": module.architecture_steps,
        "architecture_batches": 0 if stream is None else stream.batches_read,
        "ranks": gather({"records": module.records.state(), "states": dict(module.states)}),
    }


def load(module: "SearchModule", checkpoint: dict[str, Any]) -> None:
    """Take the state of the search and make the trainer's part of it whole.

    Raises:
        InputError: The checkpoint is not one of this search.
    """
    found = checkpoint.get(KEY)
    if not isinstance(found, dict):
        raise InputError(
            "The checkpoint is not one of a search; give the checkpoint of an lnas search."
        )
    try:
        _take(module, checkpoint, found)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise InputError(
            f"The checkpoint is not whole ({type(error).__name__}: {error}); give one that lnas "
            "has written."
        ) from error


def _take(module: "SearchModule", checkpoint: dict[str, Any], found: dict[str, Any]) -> None:
    _compare(found["space"], fingerprint(module.space))
    check_shapes(
        checkpoint["state_dict"],
        module.state_dict(),
        "search",
        "give the supernet that the checkpoint was made with",
    )
    if found["seed"] != module.seed:
        raise InputError(
            f"The checkpoint was made with seed={found['seed']} and this search has "
            f"seed={module.seed}; resume with the same seed."
        )
    module.steps = found["steps"]
    module.architecture_steps = found["architecture_steps"]
    if module.stream is not None:
        module.stream.batches_read = found["architecture_batches"]
    own = of_rank(found["ranks"], module.global_rank, module.trainer.world_size)
    module.records.load(own["records"])
    module.states = dict(own["states"])
    _reopen_epoch(checkpoint["loops"]["fit_loop"])


def fingerprint(space: SearchSpace) -> dict[str, Any]:
    """Return what must agree between a checkpoint's space and this one's, as plain data."""
    return {
        "name": space.name,
        "cell types": list(space.cell_types),
        "edges": [edge.name for edge in space.edges],
        "operations": list(space.operations),
        "candidates": {kind: space.candidates(kind).tolist() for kind in space.cell_types},
    }


def _compare(theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    different = [name for name in ours if theirs.get(name) != ours[name]]
    if different:
        first = different[0]
        raise InputError(
            f"The checkpoint is of another search space: its {first} are {theirs.get(first)}, "
            f"this search has {ours[first]}; give the space that the checkpoint was made with."
        )


def _reopen_epoch(loops: dict[str, Any]) -> None:
    """Let a checkpoint of `on_train_batch_end` of an epoch's last batch resume before validation.

    Lightning takes such an epoch for finished and skips its validation and its end. Told that the
    batch is complete and that a validation has just begun, it resumes with that validation.
    """
    batches = loops["epoch_loop.batch_progress"]
    total = batches["total"]
    if batches["is_last_batch"] and total["completed"] == total["processed"] - 1:
        total["completed"] += 1
        batches["current"]["completed"] += 1
        validation = loops["epoch_loop.val_loop.batch_progress"]
        counts = dict.fromkeys(("ready", "started", "processed", "completed"), 0)
        validation["current"] |= counts
        validation["total"] |= counts | {"ready": 1, "started": 1}


def settle_validation(trainer: Trainer) -> None:
    """Forget the batch that `_reopen_epoch` made up, or a validation that was interrupted."""
    trainer.fit_loop.epoch_loop.val_loop.batch_progress.total.reset_on_restart()


def skip_to_epoch_end(trainer: Trainer) -> None:
    """Without validation, go from a reopened epoch straight to its end: call it at train start."""
    loop = trainer.fit_loop.epoch_loop
    if loop.restarting and not trainer.enable_validation:
        loop.val_loop._has_run = True  # read only by the question whether the epoch is done


def leave_reopened_epoch(trainer: Trainer) -> None:
    """Let the next epoch start as usual: call it at the end of each epoch."""
    trainer.fit_loop.epoch_loop.on_iteration_done()
