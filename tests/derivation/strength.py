"""What tests of operation strength are made of: a supernet, its batches, a naive measure."""

import torch
from torch.nn import functional

from lnas.derivation import SelectionContext
from lnas.operations import statistics
from lnas.relaxations import Softmax
from lnas.spaces import DartsSpace, NasBench201Space
from lnas.supernet import Architecture, ConvolutionalSupernet, NasBench201Supernet

FEW = ("skip_connect", "dil_conv_3x3", "avg_pool_3x3")


def measures_of(net):
    """Return a function that runs one whole pass for each sample, once for equal gates."""
    known = {}

    def measures(samples, batch):
        images, labels = batch
        found = []
        for sample in samples:
            gates = tuple(str(sample.gates[name].tolist()) for name in sorted(sample.gates))
            key = net.path, images.data_ptr(), gates
            if key in known:
                found.append(known[key])
                continue
            with statistics(net, "batch"), torch.no_grad():
                logits = net(images, sample).logits
            loss = functional.cross_entropy(logits, labels)
            accuracy = (logits.argmax(-1) == labels).to(logits.dtype).mean()
            examples = torch.tensor(float(len(labels)))
            known[key] = {"loss": loss, "accuracy": accuracy, "examples": examples}
            found.append(known[key])
        return found

    return measures


def context_of(net, architecture, batches, seed=3, **options):
    made = {"measures": measures_of(net)} | options
    return SelectionContext(architecture, net, lambda: iter(batches), seed=seed, **made)


def small_context(kind="darts", batches=3, nodes=2, **options):
    """Return a context of random weights, random logits and random images, in float64."""
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    if kind == "darts":
        space = DartsSpace(FEW, nodes=nodes)
        net = ConvolutionalSupernet(space, channels=2, layers=3, num_classes=4)
    else:
        space = NasBench201Space()
        net = NasBench201Supernet(space, channels=4, cells=1, num_classes=4)
    architecture = Architecture(space, Softmax())
    for logits in architecture.logits.values():
        logits.data.normal_()
    sizes = [6, 6, 4][:batches]
    made = [(torch.randn(size, 3, 8, 8), torch.arange(size) % 4) for size in sizes]
    return context_of(net, architecture, made, **options)
