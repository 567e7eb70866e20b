"""scores.json holds what a later search needs, and says clearly when it does not."""

import json

import pytest
import torch

from lnas.derivation import best_operations, save_scores
from lnas.errors import InputError
from lnas.spaces import NasBench201Space


def test_scores_come_back_by_name_and_in_their_order(tmp_path):
    space, path = NasBench201Space(), tmp_path / "scores.json"
    table = torch.arange(30.0).reshape(6, 5).flip(-1)
    table[5] = -torch.inf
    table[4] = torch.tensor([0.0, 2.0, -torch.inf, 2.0, 1.0])
    save_scores(path, space, {"cell": table})
    kept = best_operations(path, 2)["cell"]
    assert list(kept) == ["1_0", "2_0", "2_1", "3_0", "3_1", "3_2"]
    assert kept["1_0"] == ["none", "skip_connect"]
    assert kept["3_1"] == ["skip_connect", "nor_conv_3x3"]
    assert kept["3_2"] == []
    assert best_operations(path, 9)["cell"]["3_1"] == [
        "none", "skip_connect", "nor_conv_3x3", "avg_pool_3x3",
    ]  # fmt: skip
    assert json.loads(path.read_text())["scores"]["cell"][0] == table[0].tolist()


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"scores": {"cell": [[1]]}}'])
def test_a_file_without_scores_is_named(tmp_path, text):
    path = tmp_path / "scores.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=r"scores\.json holds no scores"):
        best_operations(path, 1)
