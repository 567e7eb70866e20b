"""`lnas dashboard` refuses in one line what it cannot publish."""

import pytest

from lnas.cli.main import main
from lnas.dashboard import workspace


def test_without_a_key_the_command_ends_at_once_with_one_line(capsys, monkeypatch):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setattr(workspace, "has_account", lambda: False)
    assert main(["dashboard", "--entity", "team"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("lnas: There is no key of a W&B account; run `wandb login` once")
    assert error.count("\n") == 1


def test_offline_the_command_says_what_keeps_it_from_publishing(capsys, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert main(["dashboard", "--entity", "team"]) == 2
    assert capsys.readouterr().err.startswith("lnas: WANDB_MODE=offline keeps W&B off the network")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give --entity NAME, or --output FILE"),
        (["--output", "x.json", "nowhere"], "nowhere is not the folder of a run"),
        (["--colour"], "unrecognized arguments: --colour; see `lnas dashboard --help`"),
    ],
)
def test_bad_input_is_one_line(arguments, message, capsys):
    assert main(["dashboard", *arguments]) == 2
    assert message in capsys.readouterr().err
