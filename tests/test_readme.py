"""The README keeps its word: its example runs, its names exist."""

import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer

from lnas.callbacks import ConstantSchedule
from lnas.cli.dashboards import _parser as dashboard_parser
from lnas.cli.main import COMMANDS
from lnas.data import FakeImages
from lnas.loggers import MetricsCsv, read_rows
from lnas.runs.criteria import parse_criterion
from lnas.runs.shipped import expand_configs
from lnas.runs.training import settings_of
from lnas.search import SearchCallback, SearchModule
from lnas.spaces import NasBench201Space, zoo
from lnas.supernet import NasBench201Supernet

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS_OF_LNAS = "lnas (?:search|evaluate|study|derive|report|genotype|dashboard) "
COMMAND_LINES = re.findall(rf"^(?:PYTHONPATH=. )?({COMMANDS_OF_LNAS}.*)$", README, re.M)
COMMAND_LINES += re.findall(rf"`({COMMANDS_OF_LNAS}[^`]*)`", README)
CALLBACK = "lnas.callbacks.DiscretizationGap"


def _own_callback():
    (code,) = re.findall(r"```python\n(.*?)```", README, re.S)
    names: dict = {"__name__": "penalty"}
    exec(compile(code, "README.md", "exec"), names)
    return names["EntropyPenalty"], code


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.filterwarnings("ignore:The number of training batches")
@pytest.mark.filterwarnings("ignore:.*treespec")
def test_own_callback_lowers_the_entropy_and_is_logged(tmp_path):
    penalty, code = _own_callback()
    assert issubclass(penalty, SearchCallback)
    body = [line for line in code.splitlines() if line and not line.startswith(("import", "from"))]
    assert len(body) <= 15

    def entropy_after(*callbacks):
        folder = tmp_path / str(len(callbacks))
        space = NasBench201Space()

        def supernet(space, **options):
            return NasBench201Supernet(space, channels=4, cells=1, **options)

        def adam(parameters):
            return torch.optim.Adam(parameters, lr=0.1)

        module = SearchModule(space, supernet, architecture_optimizer=adam)
        trainer = Trainer(
            max_epochs=2, accelerator="cpu", devices=1, logger=MetricsCsv(folder),
            default_root_dir=folder, callbacks=[ConstantSchedule(1), *callbacks],
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(module, FakeImages(images=64, shape=(3, 8, 8), batch_size=4))
        gates = module.architecture.probabilities()["cell"].detach()
        return float(torch.special.entr(gates).sum(-1).mean()), read_rows(folder / MetricsCsv.FILE)

    plain, rows = entropy_after()
    assert not any("search/entropy_penalty" in row for row in rows)
    pulled, rows = entropy_after(penalty(weight=20.0))
    assert pulled < plain - 0.05
    terms = [
        float(row["search/entropy_penalty"]) for row in rows if row.get("search/entropy_penalty")
    ]
    assert len(set(terms)) > 1


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_commands_name_options_and_files_that_exist(line, monkeypatch):
    monkeypatch.chdir(ROOT)
    command, *arguments = shlex.split(line)[1:]
    assert command in COMMANDS
    if command == "genotype" and arguments[0] == "trail":
        assert "--picture" in arguments
    elif command == "genotype":
        names = [word for word in arguments[1:] if re.fullmatch(r"[a-z]+_[a-z0-9_]+", word)]
        assert names or "--to" in arguments
        assert set(names) <= set(zoo.names())
    elif command == "dashboard":
        assert dashboard_parser().parse_args(arguments).entity or "--output" in arguments
    elif command == "derive":
        named = pairwise(arguments)
        assert all(parse_criterion(name) for option, name in named if option == "--criterion")
    elif command == "report":
        assert arguments
    elif command == "study":
        paths, _ = expand_configs(arguments, ("study",))
        assert Path(paths[paths.index("--config") + 1]).is_file()
    elif "--resume" not in arguments:
        # What only stands on the reader's disk is replaced by what is shipped.
        arguments = ["darts_v2" if word.endswith("genotype.json") else word for word in arguments]
        arguments = [word.replace("penalty.EntropyPenalty", CALLBACK) for word in arguments]
        settings = settings_of(command, arguments)
        assert settings["data"]["class_path"].startswith("lnas.data.")


def test_readme_has_the_two_commands_and_the_commands_of_a_user():
    assert len(COMMAND_LINES) >= 7
    for ending in ("quickstart.yaml", "pytest -n 2"):
        assert len(re.findall(rf"^python3 -m venv .*{re.escape(ending)}$", README, re.M)) == 1


def test_the_table_of_variants_tells_what_is_shipped():
    rows = re.findall(r"^\| [^|]+ \| `(\w+)` \| \w+ \| (\w+) \|", README, re.M)
    shipped = (ROOT / "configs" / "search").glob("*.yaml")
    assert sorted(name for name, _ in rows) == sorted(path.stem for path in shipped)
    for name, strategy in rows:
        text = (ROOT / "configs" / "search" / f"{name}.yaml").read_text(encoding="utf-8")
        assert f"class_path: lnas.search.{strategy}" in text


def test_links_lead_somewhere():
    links = re.findall(r"\]\((?!https?:)([^)]+)\)", README)
    assert "docs/gates.png" in links
    assert all((ROOT / link).is_file() for link in links)
