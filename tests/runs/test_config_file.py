"""A config is a YAML mapping of options; anything else is refused by its name."""

import pytest

from lnas.errors import InputError
from lnas.runs.config_file import read_config


def test_a_config_is_read(tmp_path):
    (tmp_path / "c.yaml").write_text("trainer: {max_epochs: 3}\nsöme: ünicode\n")
    assert read_config(tmp_path / "c.yaml") == {"trainer": {"max_epochs": 3}, "söme": "ünicode"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", r"holds nothing and no options"),
        (b"just a text\n", r"holds 'just a text' and no options"),
        (b"- a\n- b\n", r"holds \['a', 'b'\] and no options"),
        (b"trainer: [\n", r"is no YAML: .* in line 2, column 1"),
        (b"trainer:\n\tmax_epochs: 3\n", r"is no YAML: .* in line 2, column 1"),
        (b"a: !!python/object/apply:os.system [x]\n", r"is no YAML: could not determine"),
        (b"\xff\xfe\x00\x01", r"cannot be read: "),
        (b"a: \x00\n", r"cannot be read: "),
        (b"[" * 100_000, r"is nested too deeply"),
        (b"a: &a [*a]\n", r"is nested too deeply"),
        (b"trainer: null\n", r"trainer in the config .* is nothing and no options"),
        (b"model: 3\n", r"model in the config .* is 3 and no options"),
    ],
)
def test_what_is_no_config_is_one_line_that_names_the_file(tmp_path, content, said):
    (tmp_path / "c.yaml").write_bytes(content)
    with pytest.raises(InputError, match=said) as refused:
        read_config(tmp_path / "c.yaml")
    assert "c.yaml" in str(refused.value)
    assert "give a YAML file" in str(refused.value)
    assert "\n" not in str(refused.value)
