"""The text formats of the field. They are parsed as data; nothing in them is ever executed.

- "darts": the named tuple as the codes of DARTS, PC-DARTS and P-DARTS print it, two inputs a node;
- "snas": the same named tuple with every edge of each cell, *none* included (14 for 4 nodes);
- "rnn": the named tuple of DARTS's recurrent cells, one input a node;
- "nasbench201": `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`;
- "json": the format of `lnas.genotype.json_format`.

A named tuple may stand behind a variable's name or a log's time stamp. Edges with *none* are left
out. A format that cannot hold a genotype refuses it.
"""

import re
from collections.abc import Sequence
from itertools import pairwise

from lnas.errors import InputError
from lnas.genotype.literals import read_call, read_pairs, read_states
from lnas.genotype.model import Genotype

_OWN_STYLE = {"darts": "darts", "nasbench201": "nasbench201", "recurrent": "rnn"}
_SPACE = {"darts": "darts", "snas": "darts", "nasbench201": "nasbench201", "rnn": "recurrent"}

Pairs = list[tuple[str, int]]
Nodes = list[Pairs]


def parse(text: str, origin: str = "the text") -> Genotype:
    """Read a genotype in any of the formats.

    Args:
        text: The text.
        origin: Where it is from, for error messages.

    Raises:
        InputError: The text is in none of the formats, or what it says is not valid.
    """
    if text.lstrip().startswith("{"):
        return Genotype.from_json(text, origin)
    try:
        if "Genotype(" in text:
            return _from_call(text)
        if text.lstrip().startswith("["):
            return Genotype("recurrent", {"recurrent": [[p] for p in read_pairs(text)]})
        if "|" in text:
            return _from_nasbench201(text)
    except InputError as error:
        raise InputError(f"Genotype in {origin}: {error}") from None
    what = "is empty" if not text.strip() else f"starts with {text.strip()[:30]!r}"
    raise InputError(
        f"{origin} {what}; a genotype is JSON, Genotype(normal=[...], ...), "
        "Genotype(recurrent=[...], ...) or |op~0|+|op~0|op~1|+|op~0|op~1|op~2|."
    )


def render(genotype: Genotype, style: str | None = None) -> str:
    """Write a genotype in a format; by default its space's own.

    Raises:
        InputError: The style is unknown or cannot hold this genotype.
    """
    style = _OWN_STYLE[genotype.space] if style is None else style
    if style == "json":
        return genotype.to_json()
    if style not in _SPACE:
        raise InputError(f"Unknown style {style!r} of a genotype; use {', '.join(_SPACE)}, json.")
    if _SPACE[style] != genotype.space:
        own = [name for name, space in _SPACE.items() if space == genotype.space]
        raise InputError(
            f"The style {style} holds genotypes of the space {_SPACE[style]}, this one is of "
            f"{genotype.space}; use {', '.join(own)} or json."
        )
    if style == "nasbench201":
        return _to_nasbench201(genotype)
    fields = []
    for kind in genotype.cells:
        pairs = _all_edges(genotype, kind) if style == "snas" else _chosen(genotype, kind, style)
        prefix = "" if style == "rnn" else f"{kind}_"
        fields.append(f"{kind}={pairs!r}, {prefix}concat={_states(genotype.concat[kind])}")
    text = f"Genotype({', '.join(fields)})"
    if parse(text) != genotype:
        raise InputError(
            f"The style {style} cannot tell this genotype from one of another size; use json."
        )
    return text


def _from_call(text: str) -> Genotype:
    fields = read_call(text, "Genotype")
    if set(fields) == {"recurrent", "concat"}:
        pairs = read_pairs(fields["recurrent"], "recurrent")
        cells = {"recurrent": [[pair] for pair in pairs]}
        return Genotype(
            "recurrent", cells, {"recurrent": _given(read_states(fields["concat"], "concat"))}
        )
    if set(fields) == {"normal", "normal_concat", "reduce", "reduce_concat"}:
        nodes, concat = {}, {}
        for kind in ("normal", "reduce"):
            states = _given(read_states(fields[f"{kind}_concat"], f"{kind}_concat"))
            nodes[kind] = _split(read_pairs(fields[kind], kind), states, kind)
            concat[kind] = states
        return Genotype("darts", nodes, concat)
    raise InputError(
        f"Genotype(...) has the fields {', '.join(sorted(fields))[:80] or 'none'}; it needs normal,"
        " normal_concat, reduce, reduce_concat, or recurrent, concat."
    )


def _given(states: list[int]) -> list[int]:
    if not states:
        raise InputError("concat is empty; name one or more nodes.")
    return states


def _split(pairs: Pairs, concat: list[int], kind: str) -> Nodes:
    """Cut the flat list into nodes: every edge where it fits that pattern, else two a node."""
    bounds, nodes = [0], 0
    while bounds[-1] < len(pairs):
        bounds.append(bounds[-1] + nodes + 2)
        nodes += 1
    # A cell of 7 nodes with two inputs each has 14 entries too: its output names a later node.
    if bounds[-1] == len(pairs) and max(concat) < nodes + 2:
        cut = [pairs[begin:end] for begin, end in pairwise(bounds)]
        if all(sorted(source for _, source in node) == list(range(len(node))) for node in cut):
            return [_without_none(node) for node in cut]
    if len(pairs) % 2 or not pairs:
        raise InputError(
            f"{kind} has {len(pairs)} entries; give two for each node, or all edges (14 for 4 "
            "nodes), each source of a node once."
        )
    return [_without_none(pairs[i : i + 2]) for i in range(0, len(pairs), 2)]


def _without_none(pairs: Pairs) -> Pairs:
    return [pair for pair in pairs if pair[0] != "none"]


def _from_nasbench201(text: str) -> Genotype:
    found = re.search(r"\|.*\|", text.strip())
    body = found.group() if found else text.strip()
    nodes = []
    for number, part in enumerate(body.split("+"), start=1):
        entries = part.strip().strip("|").split("|")
        pairs: Pairs = []
        for entry in entries:
            name, mark, source = entry.partition("~")
            if not mark or not re.fullmatch(r"[0-9]{1,3}", source):
                raise InputError(f"node {number}: {entry[:40]!r} is not of the form op~source.")
            pairs.append((name.strip(), int(source)))
        if sorted(source for _, source in pairs) != list(range(number)):
            raise InputError(
                f"node {number} must name each of its {number} sources once, as in |op~0|op~1|; "
                f"it has sources {[source for _, source in pairs][:8]}."
            )
        nodes.append(_without_none(pairs))
    return Genotype("nasbench201", {"cell": nodes})


def _to_nasbench201(genotype: Genotype) -> str:
    parts = []
    for number, inputs in enumerate(genotype.cells["cell"], start=1):
        carried = {source: name for name, source in inputs}
        entries = [f"{carried.get(source, 'none')}~{source}" for source in range(number)]
        parts.append("|" + "|".join(entries) + "|")
    return "+".join(parts)


def _chosen(genotype: Genotype, kind: str, style: str) -> Pairs:
    count = 1 if style == "rnn" else 2
    for node, inputs in enumerate(genotype.cells[kind], start=genotype.first_node):
        if len(inputs) != count:
            raise InputError(
                f"{kind}, node {node} has {len(inputs)} inputs and the style {style} holds "
                f"{count} a node; use snas or json."
            )
    return [(name, source) for inputs in genotype.cells[kind] for name, source in inputs]


def _all_edges(genotype: Genotype, kind: str) -> Pairs:
    pairs = []
    for node, inputs in enumerate(genotype.cells[kind], start=genotype.first_node):
        carried = {source: name for name, source in inputs}
        if len(carried) < len(inputs):
            raise InputError(
                f"{kind}, node {node} reads a source twice and the style snas holds one "
                "operation an edge; use darts or json."
            )
        pairs += [(carried.get(source, "none"), source) for source in range(node)]
    return pairs


def _states(concat: Sequence[int]) -> str:
    if tuple(concat) == tuple(range(concat[0], concat[-1] + 1)):
        return f"range({concat[0]}, {concat[-1] + 1})"
    return repr(list(concat))
