"""What a tabular benchmark says of the cells that a study has found.

It is asked when all searches have ended, next to exact random choice: the mean and the standard
deviation over every cell that a search could have derived.
"""

from collections.abc import Sequence

from lnas.benchmarks import NasBench201Benchmark
from lnas.errors import InputError
from lnas.genotype import Genotype
from lnas.spaces import SearchSpace
from lnas.studies.graph import Trial
from lnas.studies.plan import RANDOM_CHOICE, Study
from lnas.studies.results import Result, search_seconds
from lnas.studies.state import is_finished, space_of
from lnas.studies.summary import NAN, Row


def true_results(
    study: Study, planned: Sequence[Trial], benchmark: NasBench201Benchmark
) -> list[Result]:
    """Return what the benchmark knows of the cells of the finished searches."""
    results = []
    for trial in planned:
        if not is_finished(trial.searches[-1]):
            continue
        genotype = Genotype.load(trial.genotype)
        found = benchmark.query(genotype, study.truth_dataset)
        results.append(
            Result(
                trial.method,
                trial.seed,
                1,
                found.test_accuracy,
                found.parameters,
                found.multiply_adds,
                search_seconds(trial),
                NAN,
                genotype.hash,
                str(trial.genotype.parent),
            )
        )
    return results


def random_choice(study: Study, benchmark: NasBench201Benchmark) -> dict[str, Row]:
    """Return, by method, the exact row of random choice from the space that it searches.

    Raises:
        InputError: A variant searches another space than the benchmark's.
    """
    rows: dict[str, Row] = {}
    for variant in study.variants:
        operations = derivable(space_of(variant))
        found = benchmark.statistics(study.truth_dataset, operations)
        row = Row(
            f"{RANDOM_CHOICE} of {len(operations)} operations",
            found.cells,
            found.mean,
            found.std,
            NAN,
            found.parameters,
            found.multiply_adds,
        )
        rows |= dict.fromkeys(variant.methods(), row)
    return rows


def derivable(space: SearchSpace) -> tuple[str, ...]:
    """Return the operations that a search in this space can end with.

    Raises:
        InputError: The benchmark does not know the space.
    """
    if space.name != "nasbench201":
        raise InputError(
            f"The benchmark knows cells of the space nasbench201; a variant searches {space.name}."
        )
    excluded = getattr(space.rule, "exclude", ())
    return tuple(name for name in space.operations if name not in excluded)
