"""What is refused before a search starts, so that it does not fail at its last step."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import torch
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from torch.optim import Optimizer

from lnas.derivation import magnitudes
from lnas.errors import InputError
from lnas.networks import build_small
from lnas.search.asking import asked
from lnas.search.callback import SearchCallback
from lnas.search.streams import ArchitectureStream
from lnas.search.trainer import data_of
from lnas.tasks import Batch, Examples

if TYPE_CHECKING:
    from lnas.search.module import SearchModule


def check_clip(gradient_clip: float) -> None:
    """Refuse a gradient norm that is none.

    Raises:
        InputError: It is negative or not a number.
    """
    if not gradient_clip >= 0:
        raise InputError(
            f"gradient_clip={gradient_clip} is no norm; give a number above 0, or 0 not to clip."
        )


def check_trainer(module: "SearchModule") -> None:
    """Refuse flags of the trainer that a search with two optimizers cannot honour.

    Raises:
        InputError: A flag is set.
    """
    trainer = module.trainer
    if trainer.gradient_clip_val:
        raise InputError(
            f"Trainer(gradient_clip_val={trainer.gradient_clip_val}) cannot know which optimizer "
            "is meant; leave it out and set SearchModule(gradient_clip=...) for the weights."
        )
    if trainer.accumulate_grad_batches != 1:
        raise InputError(
            f"Trainer(accumulate_grad_batches={trainer.accumulate_grad_batches}) has no meaning in "
            "a search with two optimizers; leave it at 1 and choose the batch size you want."
        )
    if trainer.limit_train_batches == 0:
        raise InputError(
            "Trainer(limit_train_batches=0) searches nothing; give a number of batches from 1 on, "
            "a fraction above 0, or leave it out."
        )
    if getattr(trainer.precision_plugin, "scaler", None) and not module.strategy.scales_losses:
        raise InputError(
            f"Trainer(precision={trainer.precision!r}) scales losses, which "
            f"{type(module.strategy).__name__} cannot; use precision='bf16-mixed' or FirstOrder."
        )
    strategy = trainer.strategy
    if not isinstance(strategy, SingleDeviceStrategy | DDPStrategy):
        raise InputError(
            f"A search cannot run with {type(strategy).__name__}, which splits the model; "
            "use Trainer(strategy='ddp') or a single device."
        )
    epochs(module)


def epochs(module: "SearchModule") -> int:
    """Return the number of epochs that progress is measured by.

    Raises:
        InputError: The trainer has no limit in epochs.
    """
    limit = module.trainer.max_epochs
    if limit is None or limit < 1:
        raise InputError(
            f"Trainer(max_epochs={limit}) leaves open when the search ends, and its schedules need "
            "to know; give a number of epochs from 1 on."
        )
    return limit


def check_gates(module: "SearchModule") -> None:
    """Refuse gates that the supernet is not made for.

    Raises:
        InputError: The relaxation needs normalised nodes and the supernet has none.
    """
    relaxation, supernet = module.architecture.relaxation, module.supernet
    if relaxation.needs_node_norm and not supernet.normalizes_nodes:
        raise InputError(
            f"The gates of {type(relaxation).__name__} let states grow with the number of open "
            f"operations, and {type(supernet).__name__} does not normalise them; give the supernet "
            "node_norm=True."
        )


def check_optimizers(module: "SearchModule", optimizers: Sequence[Optimizer]) -> None:
    """Refuse optimizers that share a parameter, miss one or hold a foreign one.

    Raises:
        InputError: They do, or the strategy cannot follow the weights' optimizer.
    """
    wanted = (
        ("weight_optimizer", "weights", dict(module.supernet.named_parameters())),
        ("architecture_optimizer", "architecture", dict(module.architecture.named_parameters())),
    )
    for optimizer, (argument, what, parameters) in zip(optimizers, wanted, strict=True):
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        missing = [name for name, parameter in parameters.items() if id(parameter) not in held]
        foreign = len(held - {id(parameter) for parameter in parameters.values()})
        if missing or foreign:
            named = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
            raise InputError(
                f"{argument} must hold exactly the {what}: it misses {len(missing)} "
                f"({named or 'none'}) and holds {foreign} others; "
                "build it from all parameters that it is given."
            )
    module.strategy.check_optimizer(optimizers[0])


def architecture_stream(module: "SearchModule") -> ArchitectureStream | None:
    """Return the stream that architecture steps read; None if the strategy reads none.

    Raises:
        InputError: The data module has no such stream.
    """
    if not module.strategy.reads_architecture_stream:
        return None
    datamodule = data_of(module.trainer)
    if datamodule is None or not hasattr(datamodule, "architecture_loader"):
        found = "no data module" if datamodule is None else type(datamodule).__name__
        raise InputError(
            f"{type(module.strategy).__name__} reads a stream of its own for the architecture, and "
            f"{found} has no architecture_loader(); fit with a data module of lnas.data, or use "
            "Joint."
        )
    return ArchitectureStream(datamodule.architecture_loader())


def check_learning(module: "SearchModule") -> None:
    """Refuse parts that would do nothing: what moves the architecture needs gates that follow it.

    Raises:
        InputError: Gates without a gradient meet a strategy that steps the architecture, or
            callbacks about its steps meet one that takes none.
    """
    strategy, relaxation = (
        type(p).__name__ for p in (module.strategy, module.architecture.relaxation)
    )
    if module.strategy.moves_architecture:
        gates = module.sample("check").gates.values()
        if not any(gate.requires_grad for gate in gates):
            raise InputError(
                f"The gates of {relaxation} do not depend on the logits, so that {strategy} has "
                "nothing to learn; use WeightsOnly."
            )
        return
    for part in asked(module):
        if type(part).should_step_architecture is not SearchCallback.should_step_architecture or (
            type(part).architecture_loss is not SearchCallback.architecture_loss
        ):
            raise InputError(
                f"{type(part).__name__} acts on architecture steps and {strategy} takes none; "
                "leave the callback out, or use FirstOrder."
            )


def held_out_loader(module: "SearchModule") -> Iterable[Batch]:
    """Return the loader of what no optimizer sees.

    Raises:
        InputError: The data module has none.
    """
    datamodule = data_of(module.trainer)
    for name in ("held_out_loader", "val_dataloader"):
        if hasattr(datamodule, name):
            loader: Iterable[Batch] = getattr(datamodule, name)()
            return loader
    raise InputError(
        "This needs held-out batches and there is no data module; fit with one of lnas.data."
    )


@torch.no_grad()
def check_derivation(module: "SearchModule") -> None:
    """Do once, on made-up examples, what a search ends with: derive, build the network, run it.

    Raises:
        InputError: The examples do not fit, or what would be derived cannot be built.
    """
    genotype = module.space.derive(magnitudes(module.architecture))
    module.space.validate(genotype)
    examples = getattr(data_of(module.trainer), "examples", None)
    if not isinstance(examples, Examples):
        return
    batch = examples.batch(2, next(module.supernet.parameters()))
    with torch.random.fork_rng():
        network = build_small(genotype, **examples.network_options())
    try:
        module.run(batch, "held_out", module.sample("check"))
        network.eval()(examples.inputs(2, next(network.parameters())))
    except RuntimeError as error:
        fitting = ", ".join(f"{name}={n}" for name, n in examples.network_options().items())
        raise InputError(
            f"{examples} do not pass through {type(module.supernet).__name__}: "
            f"{str(error).splitlines()[0]}; build the supernet with {fitting}."
        ) from error
