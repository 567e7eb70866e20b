"""Evaluation: train a derived network from scratch, then test it once.

Section 3.1 of Liu et al., "DARTS", ICLR 2019, as released: a learning rate that changes per epoch,
path dropout that grows linearly, an auxiliary head, clipped gradients. Of an image classifier the
network of the last epoch is reported, of a language model the best one on held-out data. Deviation:
validation is on images held out from training, never on the test set, and there is none when
nothing is held out.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor
from torch.optim import Optimizer

from lnas.collectives import gather, of_rank
from lnas.costs import network_cost
from lnas.errors import InputError, NonFiniteError, refused_values
from lnas.fitting import check_shapes
from lnas.genotype import Genotype
from lnas.loggers import log_row
from lnas.networks import CifarNetwork, Network, unused_parameters
from lnas.optimizers import darts_sgd
from lnas.schedules import Cosine, Schedule, check_rates, rate_of
from lnas.seeds import derive_seed
from lnas.spaces import zoo
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

KEY = "evaluation"


class EvaluationModule(LightningModule):
    """A derived network in training, by automatic optimisation.

    Args:
        genotype: What was derived: a genotype, its file, or a published one's name.
        network: Builds the network: `network(genotype, **examples.network_options())`.
        examples: What the data looks like, as the data module says; None: CIFAR-10's images.
        task: Builds the task: `task(examples.classes)`; it holds what regularises the loss.
        optimizer: Builds the optimizer of all parameters.
        learning_rate: Learning rate as a function of progress, set at the start of each epoch
            (progress = epoch / epochs); None is half a cosine from the optimizer's rate to 0.
        drop_path: Probability to drop an operation's output for an image at the end of the linear
            ramp, in [0, 1); the paper has 0.2.
        gradient_clip: Largest global norm of a gradient; 0 does not clip.
        reports: Whose test result is reported: the network's of the "last" epoch, or of the "best"
            one by the task's measure on held-out data.
        seed: Seed of the initial weights and of the dropped paths.

    Attributes:
        rescue: Brings good weights back after a loss that is not finite, or says that it cannot;
            None: such a loss is an error.

    Raises:
        InputError: An argument is outside its range, or the genotype is unknown.
    """

    def __init__(
        self,
        # Any: given `Genotype | str`, the command line would read the file by itself, as YAML.
        genotype: Any,
        network: Callable[[Genotype], Network] = CifarNetwork,
        examples: Examples | None = None,
        task: Callable[[int], Task] = ImageClassification,
        optimizer: OptimizerCallable = darts_sgd,
        learning_rate: Schedule | None = None,
        drop_path: float = 0.2,
        gradient_clip: float = 5.0,
        reports: Literal["last", "best"] = "last",
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not gradient_clip >= 0:
            raise InputError(f"gradient_clip is {gradient_clip}; choose a norm, or 0 for none.")
        if reports not in ("last", "best"):
            raise InputError(f"reports is {reports!r}; choose 'last' or 'best'.")
        found = genotype if isinstance(genotype, Genotype) else zoo.find(str(genotype))
        self.genotype: Genotype = found
        self.examples = examples or ImageExamples()
        with _seeded(derive_seed(seed, "initial weights")):
            self.network = self.examples.build(network, self.genotype)
        self.task = task(self.examples.classes)
        self.optimizer_factory = optimizer
        self.learning_rate = learning_rate
        check_rates(learning_rate)
        self.network.drop_path = self.drop_path = drop_path
        self.gradient_clip, self.reports = gradient_clip, reports
        self.seed = seed
        self.train_metrics = self.task.metrics()
        self.held_out_metrics = self.task.metrics()
        self.test_metrics = self.task.metrics()
        self._held_out: dict[str, float] = {}
        self._states: dict[str, State] = {}
        self.rescue: Callable[[], bool] | None = None
        # A cell may hold operations that do not reach the output: no gradient to wait for. Data
        # that the network cannot take is refused here as well.
        unused = unused_parameters(self.network, self.examples)
        self._ddp_params_and_buffers_to_ignore = [f"network.{name}" for name in unused]

    def setup(self, stage: str) -> None:
        """Refuse a training that has no end, or no beginning."""
        if stage == "fit" and not (
            (self.trainer.max_epochs or 0) >= 1 and self.trainer.limit_train_batches
        ):
            raise InputError(
                f"Trainer(max_epochs={self.trainer.max_epochs}, "
                f"limit_train_batches={self.trainer.limit_train_batches}) trains nothing or has no "
                "end; give a number of epochs from 1 on, and leave limit_train_batches out."
            )

    def configure_optimizers(self) -> Optimizer:
        """Make the optimizer; its learning rate is set at the start of each epoch."""
        with refused_values("optimizer"):
            optimizer = self.optimizer_factory(self.network.parameters())
        if self.learning_rate is None:
            self.learning_rate = Cosine(optimizer.param_groups[0]["lr"], 0.0)
        return optimizer

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip by the trainer's setting if there is one, else by the module's norm."""
        if gradient_clip_val is None:
            gradient_clip_val, gradient_clip_algorithm = self.gradient_clip, "norm"
        # Lightning takes 0 for "do not clip".
        self.clip_gradients(
            optimizer,
            gradient_clip_val=gradient_clip_val,
            gradient_clip_algorithm=gradient_clip_algorithm,
        )

    def on_train_batch_start(self, batch: Batch, batch_index: int) -> None:
        """Set the batch's learning rate and path dropout, and name its random numbers.

        Not at the start of the epoch: a training that is resumed within one does not pass there.
        """
        rate = self._rate() * self.task.learning_rate_factor(batch)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = rate
        self.network.drop_path = self.drop_path * self._progress()
        place = (self.seed, "drop path", self.global_rank, self.current_epoch, batch_index)
        self.network.set_draw(*place)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Return the training loss of one batch, a scalar in nats."""
        loss, output = self._loss(batch, "train", role="evaluation")
        # The mean over ranks is not finite as soon as one rank's loss is not: all raise together.
        if not torch.isfinite(self.trainer.strategy.reduce(loss.detach(), reduce_op="mean")):
            if self.rescue is not None and self.rescue():
                self.forget()
                # A step of no gradient: that no rank leaves one out, the others would wait.
                return 0.0 * torch.stack([w.sum() for w in self.network.parameters()]).sum()
            raise NonFiniteError(
                f"The training loss is not finite in epoch {self.current_epoch}, batch "
                f"{batch_index}; lower the learning rate or check the data."
            )
        self.train_metrics.update(loss, output, batch)
        self.log("loss", loss, prog_bar=True, logger=False)
        return loss

    def on_train_epoch_end(self) -> None:
        """Log one row for the epoch."""
        row = {f"eval/train_{name}": value for name, value in self.train_metrics.compute().items()}
        self.train_metrics.reset()
        row |= {
            "eval/step": self.trainer.global_step,
            "eval/epoch": self.current_epoch,
            "eval/lr": self._rate(),
            "eval/drop_path": self.network.drop_path,
        }
        log_row(self.trainer, row | self._held_out)

    def on_validation_epoch_start(self) -> None:
        """Start the sums of the held-out images."""
        self.held_out_metrics.reset()

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Measure one held-out batch."""
        loss, output = self._loss(batch, "held_out", role="held_out")
        self.held_out_metrics.update(loss, output, batch)

    def on_validation_epoch_end(self) -> None:
        """Keep the held-out results for the row of the epoch, and for the best checkpoint."""
        measured = self.held_out_metrics.compute()
        self._held_out = {f"eval/val_{name}": value for name, value in measured.items()}
        self.log_dict(self._held_out, prog_bar=True, logger=False)

    def test_step(self, batch: Batch, batch_index: int) -> None:
        """Measure one test batch."""
        loss, output = self._loss(batch, "test", role="held_out")
        self.test_metrics.update(loss, output, batch)

    def on_test_epoch_end(self) -> None:
        """Log the final result and what the network costs, for the run card."""
        row = {f"eval/test_{name}": value for name, value in self.test_metrics.compute().items()}
        cost = network_cost(self.network, self.examples)
        row |= {"eval/parameters": cost.parameters, "eval/multiply_adds": cost.multiply_adds}
        log_row(self.trainer, {"eval/step": self.trainer.global_step, **row})

    def forget(self) -> None:
        """Start all texts anew: nothing is carried over into the next batches."""
        self._states.clear()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the cell, and of every rank its sums and its states; every rank must save."""
        own = {"sums": dict(self.train_metrics.state_dict()), "states": dict(self._states)}
        checkpoint[KEY] = {"genotype": self.genotype.hash, "ranks": gather(own)}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the sums and the states of this rank when a training goes on.

        Raises:
            InputError: The checkpoint is of another network, or of another number of processes.
        """
        found = checkpoint.get(KEY, {})
        # Cells that differ in what has no weights, as pools, have the same names and shapes.
        trained = found.get("genotype", self.genotype.hash)
        if trained != self.genotype.hash:
            raise InputError(
                f"The checkpoint is of the genotype {trained} and this evaluation has "
                f"{self.genotype.hash}; give the genotype that the checkpoint was made with."
            )
        check_shapes(
            checkpoint["state_dict"],
            self.state_dict(),
            "evaluation",
            "give the genotype and the network that the checkpoint was made with",
        )
        if found and self.trainer.training:
            own = of_rank(found["ranks"], self.global_rank, self.trainer.world_size)
            self._states = dict(own["states"])
            # The checkpoint's own are those of the first rank.
            sums = {f"train_metrics.{name}": value for name, value in own["sums"].items()}
            checkpoint["state_dict"] |= sums

    def _loss(self, batch: Batch, stream: str, role: Role) -> tuple[Tensor, Output]:
        """Run the task on the stream's next batch, from where the one before has left it."""
        loss, output, self._states[stream] = self.task.loss(
            self._call, batch, self._states.get(stream), role
        )
        return loss, output

    def _rate(self) -> float:
        """Return the learning rate of the epoch."""
        assert self.learning_rate is not None
        return rate_of(self.learning_rate, self._progress())

    def _progress(self) -> float:
        return self.current_epoch / (self.trainer.max_epochs or 1)

    def _call(self, inputs: Tensor, state: State) -> Output:
        output: Output = self.network(inputs, state)
        return output


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Draw initial weights from `seed`, and leave the global generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
