"""The JSON format: what is saved fits the schema and comes back; all else is refused in a line."""

import json
from importlib.resources import files

import jsonschema
import pytest

from lnas.errors import InputError
from lnas.genotype import Genotype
from lnas.spaces import zoo

SCHEMA = json.loads((files("lnas.genotype") / "schema.json").read_text())
CELL = Genotype.from_text("|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|avg_pool_3x3~2|")


def content(**changes):
    return json.loads(zoo.load("darts_v2").to_json()) | changes


def rejected_by_schema(value):
    return not jsonschema.Draft202012Validator(SCHEMA).is_valid(value)


def test_schema_is_itself_valid():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("name", zoo.names())
def test_saved_genotype_fits_the_schema_and_loads_again(name, tmp_path):
    genotype = zoo.load(name)
    genotype.save(tmp_path / "g.json")
    jsonschema.validate(json.loads((tmp_path / "g.json").read_text()), SCHEMA)
    assert Genotype.load(tmp_path / "g.json") == genotype


def test_nasbench201_cell_fits_the_schema_and_loads_again():
    jsonschema.validate(json.loads(CELL.to_json()), SCHEMA)
    assert Genotype.from_json(CELL.to_json()) == CELL


NORMAL = content()["cells"]["normal"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 2}, "has version 2; this lnas reads version 1"),
        ({"version": True}, "has version True"),
        ({"version": "1"}, "has version 1"),
        ({"format": "other"}, "format 'other'"),
        ({"space": "nasbench201"}, "exactly cell"),
        ({"space": 3}, "Unknown space 3"),
        ({"extra": 1}, "unknown keys .'extra'."),
        ({"cells": {"normal": NORMAL}}, "exactly normal, reduce"),
        ({"cells": {"normal": NORMAL, "reduce": NORMAL, "third": NORMAL}}, "exactly"),
        ({"cells": []}, "mapping"),
        ({"concat": {}}, "empty concat"),
        ({"concat": {"normal": [2], "reduce": []}}, "reduce: concat"),
        ({"cells": {"normal": NORMAL, "reduce": [[["none", 0]]]}}, "unknown operation 'none'"),
        ({"cells": {"normal": NORMAL, "reduce": [[["skip_connect", "0"]]]}}, "source '0'"),
        ({"cells": {"normal": NORMAL, "reduce": [[["skip_connect", 0, 1]]]}}, "must be"),
    ],
)
def test_reader_and_schema_refuse_the_same(changes, message):
    value = content(**changes)
    with pytest.raises(InputError, match=message):
        Genotype.from_json(json.dumps(value))
    assert rejected_by_schema(value)


def test_source_behind_its_node_is_refused():  # which a schema cannot say
    value = content()
    value["cells"]["normal"][1][0] = ["skip_connect", 3]
    with pytest.raises(InputError, match=r"normal, node 3.*source 3; use a state from 0 to 2"):
        Genotype.from_json(json.dumps(value))


@pytest.mark.parametrize("key", ["format", "version", "space", "cells", "concat"])
def test_missing_key_is_named(key):
    value = content()
    del value[key]
    with pytest.raises(InputError, match=f"lacks .'{key}'."):
        Genotype.from_json(json.dumps(value))
    assert rejected_by_schema(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"format": 1, "format": 2}', "'format' stands twice"),
        ("", "not valid JSON"),
        ("[1, 2]", "not a JSON object"),
        ('{"version": NaN}', "NaN"),
        ('{"version": ' + "9" * 6000 + "}", "too long"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
    ],
)
def test_malformed_json_is_one_line(text, message):
    with pytest.raises(InputError, match=message) as caught:
        Genotype.from_json(text, "file.json")
    assert "\n" not in str(caught.value)
    assert "file.json" in str(caught.value)
    assert len(str(caught.value)) < 300


def test_every_truncation_is_refused():
    text = CELL.to_json().rstrip()
    for end in range(len(text)):
        with pytest.raises(InputError):
            Genotype.from_json(text[:end])
