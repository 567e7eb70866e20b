"""What the parser says in many lines becomes one: the wrong value, what is allowed, the remedy."""

import pytest

from lnas.errors import InputError
from lnas.runs.messages import one_line, public_name
from lnas.runs.training import settings_of
from lnas.supernet import NasBench201Supernet

CASES = {
    "--trainer.max_epohcs=3":
        "There is no option --trainer.max_epohcs; did you mean --trainer.max_epochs",
    "--sed=3": "There is no option --sed; did you mean --seed?",
    "--zzz=3": "There is no option --zzz; see --help and --print_config.",
    "--model.seed=3": "model.seed follows from seed and cannot be given; give seed instead.",
    "--model.supernet.chanels=3":
        "lnas.supernet.NasBench201Supernet has no option chanels; did you mean channels?",
    "--data.shape=[1,2]":
        "lnas.data.Digits has no option shape; it has batch_size, split_seed, held_out,",
    "--model.weight_optimizer.momentun=1":
        "torch.optim.SGD has no option momentun; did you mean momentum?",
    "--trainer.callbacks+=lnas.callbacks.Warmup":
        "lnas.callbacks.Warmup needs epochs; give a value for each.",
    "--trainer.callbacks+=lnas.callbacks.Warmpu":
        "There is no class 'lnas.callbacks.Warmpu'; did you mean lnas.callbacks.Warmup?",
    "--trainer.callbacks+=lnas.callbacks.Zzzz":
        "There is no class 'lnas.callbacks.Zzzz'; choose one of lnas.callbacks.ADMM, ",
    "--trainer.callbacks+=Warmpu":
        "trainer.callbacks cannot be 'Warmpu': no Callback; did you mean lnas.callbacks.Warmup?",
    "--trainer.callbacks+=nas.Warmup":
        "There is no module 'nas' for the class 'nas.Warmup'; check its spelling.",
    "--model.strategy=lnas.relaxations.Softmax":
        "model.strategy cannot be 'lnas.relaxations.Softmax': no SearchStrategy; choose one of "
        "lnas.search.FirstOrder, lnas.search.Joint, lnas.search.SecondOrder, "
        "lnas.search.WeightsOnly.",
    "--model.space=lnas.supernet.NasBench201Supernet":
        "model.space cannot be 'lnas.supernet.NasBench201Supernet': no SearchSpace; did you mean "
        "lnas.spaces.NasBench201Space?",
    "--model.supernet=lnas.spaces.DartsSpace":
        "model.supernet cannot be 'lnas.spaces.DartsSpace': no Supernet; choose one of ",
    "--model.weight_optimizer=torch.optim.Adamm":
        "There is no class 'torch.optim.Adamm'; did you mean torch.optim.Adam",
    "--model.weight_optimizer=Adamm":
        "model.weight_optimizer cannot be 'Adamm': give the path of a class.",
    "--data=lnas.spaces.DartsSpace":
        "data cannot be 'lnas.spaces.DartsSpace': no LightningDataModule; choose one of "
        "lnas.data.CIFAR10, lnas.data.CIFAR100, lnas.data.Digits, ",
    "--trainer.max_epochs=three":
        "trainer.max_epochs cannot be 'three': give a whole number or null.",
    "--model.gradient_clip=x": "model.gradient_clip cannot be 'x': give a number.",
    "--model.strategy.order=foo":
        "lnas.search.FirstOrder: order cannot be 'foo': give 'architecture_first' or "
        "'weights_first'.",
    "--data.held_out=foo":
        "lnas.data.Digits: held_out cannot be 'foo': give a whole number or a number.",
    "--trainer=null": "trainer cannot be 'null'; give its options, as --trainer.NAME=VALUE.",
    "--trainer.enable_progress_bar=maybe":
        "trainer.enable_progress_bar cannot be 'maybe': give true or false or null.",
}  # fmt: skip


@pytest.mark.parametrize(("option", "said"), CASES.items(), ids=CASES)
def test_a_wrong_option_is_named_with_what_is_allowed(option, said):
    with pytest.raises(InputError) as refused:
        settings_of("search", ["--config", "darts_nasbench201", option])
    assert str(refused.value).startswith(said)
    assert "\n" not in str(refused.value)


def test_what_is_missing_is_named():
    with pytest.raises(InputError, match=r"^model.space is missing; give it, or a --config that"):
        settings_of("search", [])


def test_the_words_of_a_part_inside_are_kept():
    outer = ValueError("Does not validate against any of the Union subtypes")
    outer.__cause__ = InputError("every=0 is no number")
    assert one_line(str(outer), outer, [], None) == "every=0 is no number"


def test_what_is_not_understood_is_one_line_that_ends():
    said = one_line("strange\n  things\n" * 100, None, [], None)
    assert said.startswith("strange things strange")
    assert len(said) < 450


def test_public_names_are_those_of_the_package():
    assert public_name(NasBench201Supernet) == "lnas.supernet.NasBench201Supernet"
    assert public_name(InputError) == "lnas.errors.InputError"
