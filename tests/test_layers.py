"""A file imports only from lower layers or its own package; the tables are the house's plan."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "lnas"
LAYERS = [
    {
        "errors",
        "collectives",
        "files",
        "fitting",
        "schedules",
        "seeds",
        "genotype",
        "optimizers",
        "waiting",
        "walking",
    },
    {"spaces", "operations", "relaxations", "data", "tasks", "loggers", "kernels"},
    {"supernet", "networks", "costs", "visualize"},
    {"derivation", "search", "evaluation", "benchmarks"},
    {"callbacks"},
    {"runs", "dashboard"},
    {"studies", "speed"},
    {"report"},
    {"cli"},
]
HEIGHT = {name: height for height, names in enumerate(LAYERS) for name in names}
# Side by side in one layer, but one stands on the other.
WITHIN = {
    ("files", "errors"), ("collectives", "errors"), ("schedules", "errors"), ("genotype", "errors"),
    ("genotype", "files"), ("fitting", "errors"), ("seeds", "errors"),
    ("relaxations", "spaces"), ("search", "derivation"), ("spaces", "operations"),
    ("operations", "kernels"),
    ("networks", "supernet"), ("costs", "networks"), ("costs", "supernet"), ("data", "tasks"),
}  # fmt: skip
WITHOUT_LIGHTNING = {
    "genotype", "schedules", "spaces", "operations", "relaxations", "supernet", "networks", "costs",
    "visualize", "derivation", "benchmarks", "kernels",
}  # fmt: skip
FILES = sorted(path for path in ROOT.rglob("*.py") if path.parent != ROOT or path.stem[0] != "_")


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_file_imports_only_from_below(path):
    own = path.relative_to(ROOT).parts[0].removesuffix(".py")
    for name in imported(path):
        parts = name.split(".")
        if parts[0] != "lnas" or len(parts) == 1 or parts[1] == own:
            continue
        below = HEIGHT[parts[1]] < HEIGHT[own] or (own, parts[1]) in WITHIN
        assert below, f"{path.name} of {own} imports {name}, which is not below it"


def test_layers_name_every_package():
    found = {path.relative_to(ROOT).parts[0].removesuffix(".py") for path in FILES}
    assert found <= set(HEIGHT)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_mathematics_knows_nothing_of_lightning_and_genotypes_nothing_of_torch(path):
    own = path.relative_to(ROOT).parts[0].removesuffix(".py")
    roots = {name.split(".")[0] for name in imported(path)}
    if own in WITHOUT_LIGHTNING:
        assert "lightning" not in roots
    if own == "genotype":
        assert "torch" not in roots
    if "wandb" in roots:
        assert path.name == "wandb_run.py"
