"""The command line of one run: LightningCLI with one-line errors and the options of a run folder.

Everything that a run needs besides its configs is added in `lnas.runs.parts`, so that YAML files
hold only what a method is.
"""

from collections.abc import Sequence
from pathlib import Path
from types import UnionType
from typing import Any, NoReturn, Union, get_args, get_origin

import yaml
from jsonargparse import set_parsing_settings
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningDataModule, LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from lnas.errors import InputError
from lnas.runs.folder import LAST, RunFolder, check_new_folder, check_settings
from lnas.runs.messages import input_error, one_line
from lnas.runs.parts import add_parts, is_first_process
from lnas.seeds import check_seed

# What names a class where any value may stand, as in the options of a study, stays data.
set_parsing_settings(instantiate_subclass_spec_in_any=False)

# Options that say where a run is written; all others say what it computes.
PLACE = ("config", "resume", "run")
MACHINE = ("accelerator", "devices", "strategy", "precision")
ABOUT = {
    "search": "Search an architecture; the cell is in genotype.json of the run folder.",
    "evaluate": "Train a derived network from scratch, then test it once.",
}


class RunParser(LightningArgumentParser):
    """A parser whose errors are `InputError`s of one line, and that refuses abbreviations."""

    owner: type | None = None

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **settings})

    def add_class_arguments(self, class_type: type, *args: Any, **settings: Any) -> list[str]:
        """Add a class's arguments, and remember it: errors of a part in a config name its class."""
        self.owner = class_type
        added: list[str] = super().add_class_arguments(class_type, *args, **settings)
        for action in self._actions:
            kind = whole_numbers_first(getattr(action, "_typehint", None))
            action._typehint = kind  # type: ignore[attr-defined]  # jsonargparse's own
        return added

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise what went wrong as one line."""
        options = [option for action in self._actions for option in action.option_strings]
        owner = None if "--config" in options else self.owner  # a command has many classes
        raise InputError(one_line(message, ex, options, owner)) from ex


def whole_numbers_first(kind: Any) -> Any:
    """Return a type in which "1" is read as 1 and not as 1.0 where both are allowed.

    Python hands out one object for Optional[int | float] and Optional[float | int], in the order of
    who asked first: what `limit_train_batches=1` means would depend on what was imported before.
    """
    kinds = get_args(kind)
    if get_origin(kind) in (Union, UnionType) and {int, float} <= set(kinds):
        return Union[tuple(sorted(kinds, key=lambda one: one is float))]  # noqa: UP007  # its order
    return kind


class RunCli(LightningCLI):
    """Parse the options of one run, settle its folder, make its trainer, module and data.

    Args:
        model_class: `SearchModule` or `EvaluationModule`.
        arguments: Options, with `--config` values as paths.
        default_folder: The run folder without the seed, when `--run.folder` is not given.
        callbacks: Further callbacks that are no part of the settings, as a study's progress bar.
        only_settings: Read the options, and neither touch a folder nor make anything.

    Attributes:
        folder: The run folder.
        settings: The effective settings, plain data.
        checkpoint: What to resume from, None to start at the beginning.

    Raises:
        InputError: An option or a combination of them cannot be used.
    """

    def __init__(
        self,
        model_class: type[LightningModule],
        arguments: Sequence[str],
        default_folder: Path,
        callbacks: Sequence[Callback] = (),
        only_settings: bool = False,
    ) -> None:
        self.only_settings = only_settings
        self.evaluates = "genotype" in model_class.__init__.__annotations__
        self.default_folder = default_folder
        self.further_callbacks = list(callbacks)
        self.checkpoint: Path | None = None
        command = "evaluate" if self.evaluates else "search"
        super().__init__(
            model_class,
            LightningDataModule,
            subclass_mode_data=True,
            args=list(arguments),
            run=False,
            save_config_callback=None,
            seed_everything_default=False,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            parser_class=RunParser,
            parser_kwargs={"prog": f"lnas {command}", "description": ABOUT[command]},
            # The streams shard themselves over the ranks.
            trainer_defaults={"use_distributed_sampler": False, "num_sanity_val_steps": 0},
        )

    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the options of the run; one seed serves the module and the data."""
        parser.add_argument("--seed", type=int, default=0, help="seed of everything random")
        parser.add_argument("--resume", type=str | None, default=None, help="run folder to go on")
        parser.add_argument("--run.folder", type=str | None, default=None, help="the run folder")
        for flag, meaning in (
            ("overwrite", "replace an existing run folder"),
            ("allow_changes", "resume with other settings than the run was started with"),
        ):
            parser.add_argument(
                f"--run.{flag}", type=bool, nargs="?", const=True, default=False, help=meaning
            )
        if self.evaluates:
            parser.add_argument(
                "--genotype",
                type=str | None,
                default=None,
                help="file, or published genotype's name",
            )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Link what belongs together: the seed, the genotype, what the data looks like."""
        parser.link_arguments("seed", "model.seed")
        parser.link_arguments("seed", "data.init_args.seed")
        parser.link_arguments("data.examples", "model.examples", apply_on="instantiate")
        if self.evaluates:
            parser.link_arguments("genotype", "model.genotype")
            parser.link_arguments("genotype", "data.init_args.evaluation", compute_fn=bool)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse; unlike the base class, do not warn about the process's own arguments."""
        self.config = parser.parse_args(args)

    def _set_seed(self) -> None:
        check_seed(self.config.seed)
        seed_everything(self.config.seed, verbose=False)

    def before_instantiate_classes(self) -> None:
        """Settle the run folder before anything heavy is made."""
        if self.config.trainer.default_root_dir is not None:
            raise InputError("trainer.default_root_dir is the run folder; give it as --run.folder.")
        text = self.parser.dump(self.config, skip_link_targets=True, format="yaml")
        whole = yaml.safe_load(text)
        self.settings = {name: value for name, value in whole.items() if name not in PLACE}
        if self.only_settings:
            return
        if self.evaluates and self.config.genotype is None:
            raise InputError("There is nothing to evaluate; give --genotype FILE_OR_NAME.")
        limits = [self.config.trainer.get(name) for name in ("max_epochs", "max_steps", "max_time")]
        if self.evaluates and limits[0] is None and all(one in (None, -1) for one in limits):
            raise InputError(
                "trainer.max_epochs is missing: a training from scratch has hundreds of epochs; "
                "give a number, or a --config that has it, as cifar10 or digits."
            )
        self.folder = self._settle_folder()
        self.config.trainer.default_root_dir = str(self.folder)

    def instantiate_classes(self) -> None:
        """Make trainer, module and data unless only the settings are asked for.

        Raises:
            InputError: A constructor, be it of Lightning or of a user's own class, refuses a value.
        """
        if self.only_settings:
            return
        try:
            super().instantiate_classes()
        except (ValueError, MisconfigurationException) as error:
            raise input_error(error) or InputError(str(error)) from error

    def _settle_folder(self) -> Path:
        """Return the run folder, checked but not touched."""
        options = self.config.run
        if self.config.resume is not None:
            folder = Path(self.config.resume)
            if options.folder is not None and Path(options.folder) != folder:
                raise InputError("--resume goes on in its own folder; leave --run.folder out.")
            if is_first_process():
                check_settings(folder, self.settings, options.allow_changes)
            # A run that was killed before its first checkpoint starts anew.
            self.checkpoint = folder / LAST if (folder / LAST).is_file() else None
        else:
            folder = Path(options.folder or f"{self.default_folder}-{self.config.seed}")
            if is_first_process():
                check_new_folder(folder, options.overwrite)
        return folder

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[Callback]) -> Trainer:
        measure = self.model.task.measure if self.evaluates else None
        made = add_parts(config, self.settings, measure)
        folder = RunFolder(self.settings, self.folder, new=self.config.resume is None)
        made["callbacks"].insert(0, folder)
        try:
            return super()._instantiate_trainer(made, [*callbacks, *self.further_callbacks])
        except (ValueError, TypeError, MisconfigurationException) as error:
            said = " ".join(str(error).split()).rstrip(".!")
            option = next((name for name in config if name not in MACHINE and name in said), None)
            if option is not None:
                raise InputError(
                    f"trainer.{option}={config[option]} cannot be used: {said}."
                ) from error
            asked = ", ".join(f"{name}={config.get(name)}" for name in MACHINE)
            raise InputError(
                f"There is no trainer with {asked}: {said}; "
                "give what this machine has, as --trainer.accelerator=cpu --trainer.devices=1."
            ) from error
