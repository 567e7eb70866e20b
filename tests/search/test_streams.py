"""The architecture stream: lazily, in order, each batch once a pass."""

from lnas.callbacks import ConstantSchedule
from lnas.search import Joint
from lnas.search.streams import ArchitectureStream


class Loader:
    """Three batches a pass, which name themselves."""

    def __init__(self):
        self.position = (0, 0)
        self.given = []

    def __len__(self):
        return 3

    def set_position(self, epoch, batch):
        self.position = (epoch, batch)

    def __iter__(self):
        epoch, start = self.position
        for batch in range(start, 3):
            self.given.append((epoch, batch))
            yield (epoch, batch)


def test_each_batch_comes_once_a_pass_and_none_in_advance():
    loader = Loader()
    stream = ArchitectureStream(loader)
    read = [stream.next() for _ in range(5)]
    assert read == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
    assert loader.given == read


def test_a_stream_starts_where_another_stopped():
    assert ArchitectureStream(Loader(), batches_read=5).next() == (1, 2)
    assert ArchitectureStream(Loader(), batches_read=3).next() == (1, 0)


def test_one_step_in_ten_reads_one_batch_in_ten_in_order(tiny, tmp_path):
    loader, data = Loader(), tiny.data(images=100, held_out=0)  # 10 weight batches an epoch
    real = data.architecture_loader()
    batches = {key: batch for key, batch in zip([(0, 0), (0, 1), (0, 2)], real, strict=False)}
    loader.__class__ = type("Real", (Loader,), {})
    type(loader).__iter__ = lambda self: (batches[0, key[1]] for key in Loader.__iter__(self))
    data.architecture_loader = lambda: loader
    for epochs, steps in ((1, 10), (4, 40)):
        loader.given.clear()
        schedule = [ConstantSchedule(10)]
        module = tiny.fit(tmp_path, schedule, data, trainer={"max_epochs": epochs})
        assert module.steps == steps
        assert loader.given == [divmod(read, 3) for read in range(steps // 10)]


def test_joint_never_asks_for_the_stream(tiny, tmp_path):
    data = tiny.data()
    data.architecture_loader = None
    assert tiny.fit(tmp_path, data=data, strategy=Joint()).architecture_steps == 8
