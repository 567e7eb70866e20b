"""`lnas genotype show|convert|diff|trail`: looks at genotypes, in files, published, or in runs."""

import sys
from pathlib import Path

from jsonargparse import ArgumentError, ArgumentParser, Namespace
from rich.console import Console
from rich.table import Table

from lnas.errors import InputError
from lnas.files import write_text
from lnas.genotype import Genotype, changes
from lnas.spaces import zoo
from lnas.visualize.palette import TITLES

STYLES = ("darts", "snas", "nasbench201", "rnn", "json")
SOURCE = "a genotype file, the name of a published genotype, or genotype text"
COMMANDS = ("show", "convert", "diff", "trail")
STATES = {
    "darts": "States 0 and 1 are the outputs of the two cells before, and state 2 is the node that "
    "pictures call 0; a node sums its inputs.",
    "nasbench201": "State 0 is the cell's input, and state 1 is the node that pictures call 0; a "
    "node sums its inputs; node 3 is the output.",
    "recurrent": "State 0 mixes input and hidden state; the output is the mean of the nodes.",
}


def genotype_command(arguments: list[str]) -> int:
    """Run `lnas genotype ...`.

    Args:
        arguments: What follows `lnas genotype`.

    Returns:
        The exit code, 0.

    Raises:
        InputError: The arguments or a genotype cannot be used.
    """
    try:
        given = _parser().parse_args(arguments)
    except ArgumentError as error:
        reason = " ".join(str(error).split()).rstrip(".")
        command = next((name for name in arguments[:1] if name in COMMANDS), "")
        reason = reason.replace(f"are required: {command}.", "are required: ")
        words = " ".join(filter(None, ("lnas genotype", command, "--help")))
        raise InputError(f"{reason}; see `{words}`.") from None
    chosen: Namespace = given[given.command]
    if given.command == "show":
        show(chosen.genotype, picture=chosen.picture, cost=chosen.cost)
    elif given.command == "convert":
        convert(chosen.genotype, chosen.to, chosen.output, overwrite=chosen.overwrite)
    elif given.command == "trail":
        trail(chosen.runs, chosen.picture)
    else:
        diff(chosen.first, chosen.second, picture=chosen.picture)
    return 0


def show(name_or_path: str, picture: str | None = None, cost: bool = False) -> None:
    """Print the cells of a genotype and its hash.

    Args:
        name_or_path: A file, a published name or a text.
        picture: Where to draw the cells as well, ending in .png or .svg.
        cost: Also print parameters and multiply-adds of the network for 32x32 images.

    Raises:
        InputError: There is no such genotype, or the picture cannot be written.
    """
    genotype = _read(name_or_path)
    if picture is not None:
        from lnas.visualize.cell import draw_genotype

        draw_genotype(genotype, picture)
    console = Console()
    print(f"space {genotype.space}, hash {genotype.hash}")
    for kind in genotype.cells:
        console.print(_table(genotype, kind))
    print(STATES[genotype.space])
    if cost:
        print(_cost(genotype))
    for line in _records(genotype):
        print(line)
    if picture is not None:
        print(f"picture: {picture}")


def convert(
    source: str, style: str, output: str | Path | None = None, overwrite: bool = False
) -> None:
    """Write a genotype in another format, to a file or the terminal.

    Args:
        source: A file, a published name or a text.
        style: "darts", "snas", "nasbench201", "rnn" or "json".
        output: The file; None prints.
        overwrite: Replace an existing file.

    Raises:
        InputError: The format cannot hold the genotype, or the file exists.
    """
    text = _read(source).to_text(style).rstrip("\n") + "\n"
    if output is None:
        sys.stdout.write(text)
        return
    if Path(output).exists() and not overwrite:
        raise InputError(f"{output} exists; choose another file, or give --overwrite.")
    write_text(output, text)


def diff(first: str, second: str, picture: str | None = None) -> None:
    """Print what changes from one genotype to another.

    Args:
        first: A file, a published name or a text.
        second: The other one.
        picture: Where to draw both over each other as well, ending in .png or .svg.

    Raises:
        InputError: They are of different spaces, one cannot be read, or the picture not written.
    """
    a, b = _read(first), _read(second)
    if picture is not None:
        from lnas.visualize.difference import draw_difference

        draw_difference(a, b, picture, (_title(first, "the first"), _title(second, "the second")))
    for line in differences(a, b) or ["no difference"]:
        print(line)
    if a != b and a.canonical() == b.canonical():
        print("both compute the same function: they are isomorphic")
    if picture is not None:
        print(f"picture: {picture}")
        print(STATES[a.space])


def trail(runs: list[str], picture: str) -> None:
    """Draw how the cells of searches came about, side by side, and say when one collapsed.

    Args:
        runs: Folders of searches, or NAME=FOLDER.
        picture: The .png or .svg file.

    Raises:
        InputError: A folder is none of a finished search, or the picture cannot be written.
    """
    from lnas.callbacks.collapse_warning import collapsed_since, skips
    from lnas.runs.trail import read_trail
    from lnas.visualize.trail import draw_trails

    trails = [read_trail(run) for run in runs]
    draw_trails(trails, picture)
    for found in trails:
        last, since = found.genotypes[-1], collapsed_since(found.genotypes)
        counts = " and ".join(
            f"{count} of {len(last.edges(kind))} operations of the " + TITLES.get(kind, kind)
            for kind, count in skips(last).items()
        )
        print(
            f"{found.name}: {counts} are skip connections after {len(found.genotypes)} epochs"
            + ("" if since is None else f", collapsed since epoch {since + 1}")
        )
    print(f"picture: {picture}")


def differences(a: Genotype, b: Genotype) -> list[str]:
    """Return one line for each connection that is added, removed or changed from a to b.

    Raises:
        InputError: They are of different spaces.
    """
    lines = []
    for kind, found in changes(a, b).items():
        for change in found:
            where = f"{kind}, node {change.node} from state {change.source}"
            if change.kind == "changed":
                lines.append(f"changed: {where}: {change.old} -> {change.new}")
            elif change.kind != "kept":
                lines.append(f"{change.kind + ':':8} {where}: {change.old or change.new}")
        if len(a.cells[kind]) != len(b.cells[kind]):
            lines.append(f"changed: {kind}: {len(a.cells[kind])} -> {len(b.cells[kind])} nodes")
        if a.concat[kind] != b.concat[kind]:
            old_output, new_output = list(a.concat[kind]), list(b.concat[kind])
            lines.append(f"changed: {kind}, output from nodes: {old_output} -> {new_output}")
    return lines


def _read(source: str) -> Genotype:
    is_text = any(mark in source for mark in ("Genotype(", "~", "{", "["))
    return Genotype.from_text(source) if is_text and not _is_file(source) else zoo.find(source)


def _title(source: str, otherwise: str) -> str:
    """Return what a picture calls a genotype: a published name, or the run and the file."""
    if _is_file(source):
        return "/".join(Path(source).resolve().parts[-2:])
    return source if source in zoo.names() else otherwise


def _is_file(source: str) -> bool:
    try:
        return Path(source).is_file()
    except (OSError, ValueError):  # too long, or with a null character
        return False


def _table(genotype: Genotype, kind: str) -> Table:
    table = Table(title=kind, title_justify="left", title_style="bold")
    table.add_column("node", justify="right")
    table.add_column("operation <- state")
    for node, inputs in enumerate(genotype.cells[kind], start=genotype.first_node):
        entries = [f"{name} <- {source}" for name, source in inputs]
        table.add_row(str(node), ", ".join(entries) or "(nothing)")
    table.add_row("out", ", ".join(map(str, genotype.concat[kind])))
    return table


def _cost(genotype: Genotype) -> str:
    from lnas.costs import network_cost
    from lnas.networks import build

    network = build(genotype)
    cost = network_cost(network)
    data = f"{network.examples}, {network.examples.classes:,} classes"
    return f"{data}: {cost.parameters:,} parameters, {cost.multiply_adds:,} multiply-adds each"


def _records(genotype: Genotype) -> list[str]:
    """Return what the tabular benchmark knows of a cell; nothing without its table."""
    if genotype.space != "nasbench201":
        return []
    from lnas.benchmarks import NasBench201Benchmark
    from lnas.benchmarks.table import DATASETS, locate

    try:
        folder = locate(None)
    except InputError:
        return []
    benchmark = NasBench201Benchmark(folder)
    lines = []
    for dataset in DATASETS:
        found = benchmark.query(genotype, dataset)
        validated = found.validation_accuracy
        lines.append(
            f"NAS-Bench-201, {dataset}: test accuracy {found.test_accuracy:.2%}"
            + ("" if validated is None else f", validation after 12 epochs {validated:.2%}")
            + f", {found.parameters:,} parameters, {found.multiply_adds:,} multiply-adds"
        )
    if found.latency:
        slowest = max(found.latency, key=found.latency.__getitem__)
        fastest = min(found.latency, key=found.latency.__getitem__)
        lines.append(
            f"latency on {len(found.latency)} devices: {found.latency[fastest]:.2f} ms ({fastest})"
            f" to {found.latency[slowest]:.2f} ms ({slowest})"
        )
    return lines


def _parser() -> ArgumentParser:
    parser = _plain_parser(
        prog="lnas genotype",
        description="Looks at genotypes. Published: " + ", ".join(zoo.names()) + ".",
    )
    commands = parser.add_subcommands(dest="command", required=True)
    shown = _plain_parser(description="Print cells and hash.")
    shown.add_argument("genotype", type=str, help=SOURCE)
    shown.add_argument(
        "--picture", type=str | None, default=None, help="draw the cells: a .png or .svg file"
    )
    shown.add_argument("--cost", action="store_true", help="count parameters and multiply-adds")
    commands.add_subcommand("show", shown)
    converted = _plain_parser(description="Write in another format.")
    converted.add_argument("genotype", type=str, help=SOURCE)
    converted.add_argument("--to", choices=STYLES, default="json", help="the format")
    converted.add_argument("--output", type=str | None, default=None, help="the file; or print")
    converted.add_argument("--overwrite", action="store_true", help="replace an existing file")
    commands.add_subcommand("convert", converted)
    compared = _plain_parser(description="Print what changed.")
    compared.add_argument("first", type=str, help=SOURCE)
    compared.add_argument("second", type=str, help=SOURCE)
    compared.add_argument(
        "--picture", type=str | None, default=None, help="draw both in one: a .png or .svg file"
    )
    commands.add_subcommand("diff", compared)
    trailed = _plain_parser(description="Draw how the cells of searches came about, side by side.")
    trailed.add_argument("runs", nargs="+", type=str, help="folders of searches, or NAME=FOLDER")
    trailed.add_argument("--picture", type=str, required=True, help="a .png or .svg file")
    commands.add_subcommand("trail", trailed)
    return parser


def _plain_parser(description: str, prog: str | None = None) -> ArgumentParser:
    """Return a parser that raises its errors, and takes no beginning of an option for it."""
    return ArgumentParser(
        exit_on_error=False, allow_abbrev=False, description=description, prog=prog
    )
