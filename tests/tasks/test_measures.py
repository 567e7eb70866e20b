"""What networks are compared by."""

from lnas.tasks import ACCURACY, PERPLEXITY, ImageClassification


def test_people_read_shares_in_percent_and_perplexities_as_they_are():
    assert ACCURACY.text(0.96204) == "96.20%"
    assert PERPLEXITY.text(61.104) == "61.10"
    assert (ACCURACY.mode, PERPLEXITY.mode) == ("max", "min")


def test_a_task_sums_up_what_its_networks_are_compared_by():
    task = ImageClassification(3)
    assert task.measure.name in dict(task.metrics().named_children())
