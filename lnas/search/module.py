"""SearchModule: an architecture search as a LightningModule; it knows no method.

It owns the supernet, the architecture and the data position, asks the callbacks, and lets the
injected strategy take the steps. Optimisation is manual: two optimizers that move at different
times. Under data parallelism every gradient is averaged here, explicitly, so that passes without
some of the weights (frozen, or left out by a mask) need nothing special.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim import Optimizer

from lnas.operations.normalization import Statistics, statistics
from lnas.optimizers import darts_adam, darts_sgd
from lnas.relaxations import Draw, GateSample, Relaxation, Softmax
from lnas.schedules import Schedule, check_rates
from lnas.search import checks, state
from lnas.search.asking import asked, gates_of, moves_architecture
from lnas.search.finiteness import FiniteWatch
from lnas.search.optimizers import make_optimizers, scaled, set_rates, take_step
from lnas.search.records import Records
from lnas.search.step import SearchStep
from lnas.search.strategies import FirstOrder, SearchStrategy
from lnas.search.streams import ArchitectureStream, to_device
from lnas.seeds import derive_seed
from lnas.spaces import SearchSpace
from lnas.supernet import Architecture, ConvolutionalSupernet, Supernet
from lnas.supernet.graphs import NetCall, usual
from lnas.tasks import (
    Batch,
    Examples,
    ImageClassification,
    ImageExamples,
    Output,
    Role,
    State,
    Task,
)
from lnas.walking import parameters_of


class SearchModule(LightningModule):
    """Searches an architecture; fit it with a data module that has an `architecture_loader()`.

    Args:
        space: What is searched.
        supernet: Builds the supernet: `supernet(space, **examples.network_options())`.
        relaxation: Turns logits into gates; None is the softmax.
        strategy: How the levels alternate; None is the first-order alternation of DARTS.
        task: Builds the task: `task(examples.classes)`.
        examples: What the data looks like, as the data module says; None: CIFAR-10's images.
        weight_optimizer: Builds the optimizer of the weights.
        architecture_optimizer: Builds the optimizer of the architecture.
        weight_schedule: Learning rate of the weights as a function of progress, set at the start
            of each epoch (progress = epoch / epochs); None is half a cosine from the optimizer's
            rate down to 1/25 of it, in DARTS from 0.025 to 0.001.
        architecture_schedule: The same for the architecture; None keeps the optimizer's rate.
        gradient_clip: Largest global norm of the weights' gradient; 0 does not clip.
        seed: Seed of the initial weights and logits, and of all gates.
        edge_normalization: Weigh the edges into each node by a softmax of logits of their own.

    Attributes:
        architecture: The logits and what is decided about them.
        supernet_call: How the supernet is called; an option of speed puts another way here.
        step: The batch under way.
        states: What a recurrent network hands to the next batch, detached, by stream.
        steps: Weight steps since the start.
        architecture_steps: Architecture steps since the start.

    Raises:
        InputError: An argument is outside its range.
    """

    def __init__(
        self,
        space: SearchSpace,
        supernet: Callable[[SearchSpace], Supernet] = ConvolutionalSupernet,
        relaxation: Relaxation | None = None,
        strategy: SearchStrategy | None = None,
        task: Callable[[int], Task] = ImageClassification,
        examples: Examples | None = None,
        weight_optimizer: OptimizerCallable = darts_sgd,
        architecture_optimizer: OptimizerCallable = darts_adam,
        weight_schedule: Schedule | None = None,
        architecture_schedule: Schedule | None = None,
        gradient_clip: float = 5.0,
        seed: int = 0,
        edge_normalization: bool = False,
    ) -> None:
        super().__init__()
        checks.check_clip(gradient_clip)
        self.automatic_optimization = False
        self.space, self.seed = space, seed
        examples = examples or ImageExamples()
        with torch.random.fork_rng():
            torch.manual_seed(derive_seed(seed, "initial weights"))
            self.supernet = examples.build(supernet, space)
        self.supernet_call: NetCall = usual
        self.architecture = Architecture(space, relaxation or Softmax(), seed, edge_normalization)
        self.strategy = strategy or FirstOrder()
        self.task = task(examples.classes)
        self.optimizer_factories = (weight_optimizer, architecture_optimizer)
        self.schedules = [weight_schedule, architecture_schedule]
        for schedule in self.schedules:
            check_rates(schedule)
        self.gradient_clip = gradient_clip
        self.step = SearchStep(epoch=0, batch_index=0, progress=0.0)
        self.steps = self.architecture_steps = 0
        self.records, self.watch = Records(self.task), FiniteWatch()
        self.stream: ArchitectureStream | None = None
        self.states: dict[str, State] = {}

    # What a fit goes through ---------------------------------------------------------------------

    def configure_callbacks(self) -> list[Callback]:
        """Refuse flags of the trainer: the one hook before Lightning's own, worse refusal."""
        checks.check_trainer(self)
        return []

    def setup(self, stage: str) -> None:
        """Refuse what could not be searched to the end, and open the architecture stream."""
        if stage == "fit":
            checks.check_gates(self)
            self.stream = checks.architecture_stream(self)
            checks.check_learning(self)
            checks.check_derivation(self)

    def configure_optimizers(self) -> list[Optimizer]:
        """Make the optimizers of the weights and of the architecture, in this order."""
        return make_optimizers(self)

    def on_fit_start(self) -> None:
        """Bring the measures to the device."""
        self.records.to(self.device)

    def on_train_start(self) -> None:
        """Resume behind the last batch of an epoch where it was left; see `lnas.search.state`."""
        state.skip_to_epoch_end(self.trainer)

    def on_train_epoch_start(self) -> None:
        """Set the learning rates of the epoch."""
        set_rates(self, self.current_epoch / checks.epochs(self))

    def training_step(self, batch: Batch, batch_index: int) -> None:
        """Ask the callbacks whether the architecture moves, then let the strategy act."""
        batches = self.trainer.num_training_batches
        progress = (self.current_epoch + batch_index / batches) / checks.epochs(self)
        self.step = step = SearchStep(self.current_epoch, batch_index, progress)
        step.states = dict(self.states)
        step.architecture_stepped = moves_architecture(self, step)
        with scaled(self.trainer.optimizers[0], self.task.learning_rate_factor(batch)):
            self.strategy.step(self, batch, step)
        self.steps += 1
        self.records.end_batch(self, last=batch_index + 1 == batches)

    def on_train_epoch_end(self) -> None:
        """Log the row of the epoch."""
        self.records.log_epoch(self)
        state.leave_reopened_epoch(self.trainer)

    def on_validation_start(self) -> None:
        """Start measuring; a resumed validation starts from its beginning."""
        state.settle_validation(self.trainer)
        self.records.metrics["held_out"].reset()

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Measure the supernet on a held-out batch, without noise, with the batch's statistics."""
        sample = self.architecture.noise_free()
        loss, output, self.states["held_out"] = self.run(
            batch, "held_out", sample, state=self.states.get("held_out")
        )
        self.records.metrics["held_out"].update(loss, output, batch)

    def on_validation_epoch_end(self) -> None:
        """Log the row of the held-out batches."""
        self.states.pop("held_out", None)
        if not self.trainer.sanity_checking:
            self.records.log_held_out(self)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the state of the search; every rank must save."""
        state.save(self, checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the state of the search; see `lnas.search.state`."""
        state.load(self, checkpoint)

    # What strategies are made of -----------------------------------------------------------------

    def weight_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of the supernet."""
        return parameters_of(self.supernet)

    def architecture_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of the architecture."""
        return list(self.architecture.parameters())

    def sample(self, purpose: str) -> GateSample:
        """Return the gates of a pass; the same on all ranks and at each call for one purpose."""
        cells = Counter(self.supernet.cell_types_of_cells)
        return self.architecture.sample(Draw(self.seed, 0, self.steps, purpose, cells))

    def architecture_batch(self) -> Batch:
        """Return the next batch of the architecture stream, on the device."""
        assert self.stream is not None
        return to_device(self, self.stream.next())

    def run(
        self,
        batch: Batch,
        role: Role,
        sample: GateSample,
        statistics_mode: Statistics = "batch",
        weights: dict[str, Tensor] | None = None,
        state: State = None,
    ) -> tuple[Tensor, Output, State]:
        """Run the task once and change nothing but, in mode "update", the running averages.

        Args:
            batch: The batch.
            role: Which pass this is.
            sample: Its gates.
            statistics_mode: What batch normalisation does.
            weights: Weights to use instead of the supernet's own, by name.
            state: State of a recurrent network.

        Returns:
            Loss (a scalar in nats), output and new state.
        """
        parts = self.seed, role, self.global_rank, self.steps
        self.supernet.set_draw(*parts, dropout=role != "held_out")

        def network(inputs: Any, state: State) -> Output:
            if weights is None:  # else a functional call would only walk through all modules
                return self.supernet_call(self.supernet, inputs, sample, state)
            found: Output = functional_call(self.supernet, weights, (inputs, sample, state))
            return found

        with statistics(self.supernet, statistics_mode):
            return self.task.loss(network, batch, state, role)

    def loss(
        self,
        batch: Batch,
        step: SearchStep,
        statistics_mode: Statistics = "batch",
        weights: dict[str, Tensor] | None = None,
    ) -> Tensor:
        """Run the pass that `step` names, keep its state and count it in the epoch's measures."""
        sample, before = gates_of(self, step), step.states.get(step.stream)
        step.loss, output, after = self.run(
            batch, step.role, sample, statistics_mode, weights, before
        )
        step.batch, step.output = batch, output
        if step.stream not in step.advanced:
            self.states[step.stream] = after
            step.advanced.add(step.stream)
        self.records.count(self, step.stream, step.loss, output, batch)
        return step.loss

    def step_weights(self) -> None:
        """Step the weights' optimizer; on the way, callbacks see the gradient and it is clipped."""
        take_step(self, 0)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Show the weights' gradient and clip it: here it is unscaled under 16-mixed as well."""
        if optimizer is not self.trainer.optimizers[0]:
            return
        for part in asked(self):
            part.on_weight_gradients(self, self.step)
        if self.gradient_clip:
            nn.utils.clip_grad_norm_(self.weight_parameters(), self.gradient_clip)

    def step_architecture(self) -> None:
        """Step the architecture's optimizer and tell the callbacks."""
        take_step(self, 1)
        self.architecture.hold()
        self.architecture_steps += 1
        for part in asked(self):
            part.on_architecture_step(self, self.step)

    def held_out_batches(self) -> Iterator[Batch]:
        """Return this rank's share of the held-out stream, on the device.

        Raises:
            InputError: The data module holds nothing out.
        """
        return (to_device(self, batch) for batch in checks.held_out_loader(self))
