"""Windows over texts side by side: truncated backpropagation through time.

A text is cut into `streams` pieces of one length that are read side by side, a window of some steps
at a time. Training windows have random lengths, so that words meet the edges of windows in one
epoch and not in the next (Merity et al., arXiv:1708.02182, section 5): usually `bptt` steps, in one
case of twenty half of it, and with a deviation normal around that.

Deviation from the released code: the lengths are drawn once for a run and each epoch takes them in
another order, so that all epochs have as many batches, which cover the text exactly. Lengths and
orders are a function of (seed, purpose, epoch): equal on all ranks, which share the streams.
"""

from collections.abc import Iterator
from itertools import accumulate

import torch
from torch import Tensor
from torch.utils.data import Dataset

from lnas.data.resumable import Order, ResumableLoader
from lnas.errors import InputError
from lnas.seeds import generator
from lnas.tasks import TextBatch

SHORT = 0.05  # share of windows that are half as long
LEAST, MOST = 5, 20  # a window has at least 5 steps and at most bptt + 20

Key = tuple[int, int, int, int]
"""Where a window begins and ends, the first of its streams, and the step to the next one."""


def draw_lengths(
    steps: int, bptt: int, deviation: float, seed: int, purpose: str
) -> tuple[int, ...]:
    """Return the lengths of the windows of an epoch; their sum is `steps`.

    Args:
        steps: Steps of the text.
        bptt: Usual length.
        deviation: Standard deviation around it; 0: exactly `bptt` or the whole half of it.
        seed: Seed of the run.
        purpose: Name of the stream.
    """
    draw = generator(seed, "lengths", purpose)
    lengths: list[int] = []
    rest = steps
    while rest:
        short, normal = torch.rand((), generator=draw), torch.randn((), generator=draw)
        length = int((bptt / 2 if short < SHORT else bptt) + deviation * float(normal))
        if deviation:
            length = min(max(length, LEAST), bptt + MOST)
        lengths.append(min(max(length, 1), rest))
        rest -= lengths[-1]
    return tuple(lengths)


class WindowOrder(Order[Key]):
    """The windows of a text, from its beginning to its end.

    Args:
        steps: Steps that have a next word.
        streams: Pieces read side by side, over all ranks.
        bptt: Usual length of a window.
        seed: Seed of the run.
        purpose: Name of the stream.
        random: Draw the lengths; else all but the last are `bptt`.
        deviation: See `draw_lengths`.
        rank: This process, from 0; None asks torch.distributed at each pass.
        world_size: Number of processes; None asks torch.distributed at each pass.
    """

    def __init__(
        self,
        steps: int,
        streams: int,
        bptt: int,
        seed: int,
        purpose: str,
        random: bool = False,
        deviation: float = 0.0,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        super().__init__(seed, purpose, rank, world_size)
        self.streams, self.random = streams, random
        whole, rest = divmod(steps, bptt)
        self.lengths = (bptt,) * whole + (rest,) * bool(rest)
        if random:
            self.lengths = draw_lengths(steps, bptt, deviation, seed, purpose)

    def check_shares(self, world: int) -> None:
        """Refuse streams that so many ranks cannot share equally."""
        if self.streams % world and self.random:
            raise InputError(
                f"batch_size={self.streams} cannot be shared equally by {world} processes;"
                f" it counts the texts over all of them: choose a multiple of {world}."
            )

    def __len__(self) -> int:
        return len(self.lengths)

    def keys(self, epoch: int, start: int, batches: int, rank: int, world: int) -> Iterator[Key]:
        """Yield (begin, end, first stream, step to the next stream) of each window."""
        lengths = list(self.lengths)
        if self.random:
            draw = generator(self.seed, "windows", self.purpose, epoch)
            lengths = [lengths[i] for i in torch.randperm(len(lengths), generator=draw)]
        ends = list(accumulate(lengths))
        # Texts that are only measured and cannot be shared are read by every rank: a mean over all
        # ranks stays what it is.
        first, step = (rank, world) if self.streams % world == 0 else (0, 1)
        for window in range(start, batches):
            yield ends[window] - lengths[window], ends[window], first, step


class Windows(Dataset[TextBatch]):
    """A data set of windows.

    Args:
        text: Numbers of words, (tokens,).
        streams: Pieces read side by side.
        usual: Usual length of a window; None: the learning rate does not follow lengths.
    """

    def __init__(self, text: Tensor, streams: int, usual: int | None = None) -> None:
        rows = len(text) // streams
        self.columns = text[: rows * streams].view(streams, rows).t().contiguous()
        self.usual = usual

    @property
    def steps(self) -> int:
        """Steps that have a next word."""
        return len(self.columns) - 1

    def __getitem__(self, key: Key) -> TextBatch:
        """Return the window of a key."""
        begin, end, first, step = key
        words = self.columns[begin : end + 1, first::step]
        share = 1.0 if self.usual is None else (end - begin) / self.usual
        return TextBatch(words[:-1], words[1:], begin == 0, share)


class TextLoader(ResumableLoader):
    """Batches of one text, `TextBatch`es, resumable at any of them.

    Args:
        text: Numbers of words, (tokens,).
        streams: Pieces read side by side, over all ranks; each rank takes its share of them.
        bptt: Usual length of a window.
        seed: Seed of the run.
        purpose: Name of the stream.
        random: Draw the lengths, and scale the learning rate by them.
        deviation: Standard deviation of the lengths.
        rank: This process; None asks torch.distributed.
        world_size: Number of processes; None asks torch.distributed.

    Raises:
        InputError: The text is too short for the streams, or the ranks cannot share them.
    """

    def __init__(
        self,
        text: Tensor,
        streams: int,
        bptt: int,
        *,
        seed: int = 0,
        purpose: str = "weights",
        random: bool = False,
        deviation: float = 0.0,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        if len(text) < 2 * streams:
            raise InputError(
                f"The text of the {purpose} stream has {len(text)} words, too few for {streams} "
                f"texts side by side; choose a batch size of at most {len(text) // 2}."
            )
        windows = Windows(text, streams, bptt if random else None)
        order = WindowOrder(
            windows.steps, streams, bptt, seed, purpose, random, deviation, rank, world_size
        )
        super().__init__(windows, order)
