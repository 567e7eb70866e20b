"""What a run shows in a terminal: how far it is, what it measures, what it would derive now.

One line for each cell type, in the numbers of `lnas genotype show`: `sep3←0 skip←1` is a node that
sums a separable convolution 3×3 of state 0 and a skip connection of state 1.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.measure import Measurement
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lnas.genotype import Genotype
from lnas.visualize.palette import family, short_label

BAR = "#0072B2"
QUIET = "dim"


@dataclass(frozen=True)
class CellLine:
    """What is known of one cell type.

    Args:
        name: The cell type.
        entropy: Mean entropy of an edge (nats).
        skip_share: Share of skip connections in the gates; None where there are none to choose.
        nodes: What each node would read.
    """

    name: str
    entropy: float
    skip_share: float | None
    nodes: tuple[Text, ...]


@dataclass(frozen=True)
class Screen:
    """One picture of the terminal.

    Args:
        title: What is under way, as "epoch 7/50".
        done: How far it is, in [0, 1].
        elapsed: Seconds since the start of this process's part.
        left: Seconds that remain; None where nothing says so.
        details: Smaller steps, as "step 35/390".
        values: What is measured, as "loss 0.412".
        cells: What the search would derive; nothing for a training.
    """

    title: str
    done: float
    elapsed: float
    left: float | None = None
    details: Sequence[str] = ()
    values: Sequence[str] = ()
    cells: Sequence[CellLine] = field(default=())

    def __rich__(self) -> Group:
        """Return what rich draws."""
        left = f"{clock(self.left)} left" if self.left and self.done < 1 else ""
        head = Table.grid(expand=True, padding=(0, 1, 0, 0))
        head.add_column(no_wrap=True)
        head.add_column(ratio=1)
        head.add_column(no_wrap=True, justify="right")
        head.add_column(no_wrap=True, justify="right")
        bar = ProgressBar(total=1.0, completed=self.done, complete_style=BAR, finished_style=BAR)
        head.add_row(Text(self.title, "bold"), bar, f"{self.done:.0%}", left)
        details = [*self.details, f"{clock(self.elapsed)} so far"]
        lines = [Flow([Text(part, QUIET) for part in details], " · ")]
        if self.values:
            lines.append(Flow([Text(part) for part in self.values], " · "))
        return Group(head, *lines, *([_cells(self.cells)] if self.cells else []))


class Flow:
    """Parts one behind the other, in as many lines as that takes; no part is broken.

    Args:
        parts: The parts.
        between: What stands between two of one line.
    """

    def __init__(self, parts: Sequence[Text], between: str = "  ") -> None:
        self.parts, self.between = list(parts), between

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Return the least and the most columns that are of use."""
        widths = [part.cell_len for part in self.parts] or [0]
        return Measurement(max(widths), sum(widths) + len(self.between) * (len(widths) - 1))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Return the lines."""
        yield from self.lines(options.max_width)

    def lines(self, width: int) -> Iterator[Text]:
        """Fill lines of `width` columns."""
        line = Text(no_wrap=True, overflow="ellipsis")
        for part in self.parts:
            if line and line.cell_len + len(self.between) + part.cell_len > width:
                yield line
                line = Text(no_wrap=True, overflow="ellipsis")
            line.append(self.between if line else "", QUIET)
            line.append_text(part)
        yield line


def node_texts(genotype: Genotype, cell_type: str) -> tuple[Text, ...]:
    """Return what each node of a cell reads, in the colours of the operations' families."""
    texts = []
    for node in genotype.cells[cell_type]:
        reads = [
            Text.assemble((short_label(name), family(name).colour), (f"←{source}", QUIET))
            for name, source in node
        ]
        texts.append(Text(" ").join(reads) if reads else Text("–", QUIET))
    return tuple(texts)


def clock(seconds: float) -> str:
    """Return hours, minutes and seconds: "1:02:03"."""
    return str(timedelta(seconds=round(seconds)))


def _cells(cells: Sequence[CellLine]) -> Table:
    table = Table(
        box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style=QUIET, collapse_padding=True
    )
    has_skips = any(cell.skip_share is not None for cell in cells)
    names = max(cell_len(cell.name) for cell in cells)
    # Least widths, so that the last column alone gives way in a narrow terminal.
    table.add_column("cell", min_width=names)
    table.add_column("entropy", justify="right", min_width=7)
    if has_skips:
        table.add_column("skip", justify="right", min_width=4)
    table.add_column("derived now: operation←state")
    for cell in cells:
        share = "" if cell.skip_share is None else f"{cell.skip_share:.0%}"
        row = [cell.name, f"{cell.entropy:.2f}", *([share] if has_skips else [])]
        table.add_row(*row, Flow(cell.nodes))
    return table
