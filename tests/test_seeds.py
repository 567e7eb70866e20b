import torch

from lnas.seeds import derive_seed, generator


def test_seeds_differ_by_part_kind_and_order():
    seeds = {
        derive_seed(1, 2),
        derive_seed(2, 1),
        derive_seed("1", 2),
        derive_seed(12),
        derive_seed("1\x1f2"),
    }
    assert len(seeds) == 5
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_generator_is_pure_in_its_parts():
    first, again = (torch.rand(3, generator=generator(7, "order", 2)) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, torch.rand(3, generator=generator(7, "order", 3)))


def test_seed_is_the_same_on_every_machine():
    assert derive_seed("a") == 552439110572495161
