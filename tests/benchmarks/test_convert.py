"""The converter against a stand-in for the official API; the real one was not run here."""

import numpy as np

from lnas.benchmarks import NasBench201Benchmark
from lnas.benchmarks.convert import columns_of, latency_of, main
from lnas.benchmarks.table import write_latency, write_table
from lnas.genotype import Genotype

CELLS = [
    "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|",
    "|none~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|",
]


class StandIn:
    """Answers as the source of nats-bench 1.8 does: percent, millions, only what was trained."""

    meta_archs = CELLS

    def get_more_info(self, index, dataset, iepoch=None, hp="12", is_random=True):
        assert is_random is False
        sets = ("cifar10", "cifar10-valid", "cifar100", "ImageNet16-120")
        base = 10.0 * index + 1 + sets.index(dataset)
        test, valid = {"test-accuracy": base + {"12": 0.25, "200": 0.5}[hp]}, {}
        if dataset != "cifar10":
            valid = {"valid-accuracy": base + {"12": 0.125, "200": 0.75}[hp]}
        return test | valid

    def get_cost_info(self, index, dataset, hp="12"):
        part = {"cifar10": 0.0, "cifar100": 0.005850, "ImageNet16-120": 0.00715}[dataset]
        return {"flops": 15.64737 + part, "params": 0.129306 + part, "latency": 0.01}


def test_the_converted_table_holds_what_the_api_says(tmp_path):
    write_table(tmp_path, columns_of(StandIn()))
    write_latency(tmp_path, latency_of(StandIn()))
    benchmark = NasBench201Benchmark(tmp_path)
    first, second = map(Genotype.from_text, CELLS)
    found = benchmark.query(first)
    assert (found.test_accuracy, found.validation_accuracy) == (0.015, 0.02125)
    assert (found.parameters, found.multiply_adds) == (129_306, 15_647_370)
    assert found.latency == {"authors": 10.0}
    found = benchmark.query(second, "imagenet16")
    assert (found.row, found.test_accuracy, found.validation_accuracy) == (1, 0.145, 0.14125)
    assert found.parameters == 136_456
    assert benchmark.query(second, "cifar100").parameters == 135_156
    kinds = {name: column.dtype for name, column in columns_of(StandIn()).items()}
    assert kinds["ops"] == np.uint8
    assert kinds["c10_test_200"] == np.float32


def test_what_cannot_be_converted_is_one_line(tmp_path, capsys):
    assert main([]) == 2
    assert main([str(tmp_path / "absent.pickle"), str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 2
    assert "There is no benchmark file" in said
    (tmp_path / "file").touch()
    assert main([str(tmp_path / "file"), str(tmp_path)]) == 2
    assert "lnas[nasbench201]" in capsys.readouterr().err
