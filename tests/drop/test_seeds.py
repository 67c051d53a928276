"""The hash of (seed, epoch, step): 32 bits, all of every part, no pattern."""

from nasdrop.drop.seeds import step_seed


def test_fits_32_bits_and_every_part_counts() -> None:
    seeds = [
        step_seed(seed, epoch, step) for seed in (0, 1, 5, 5 + 2**32) for epoch in range(20) for step in range(100)
    ]
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert len(set(seeds)) == len(seeds)
    assert step_seed(0, 1, 2) != step_seed(0, 2, 1) != step_seed(1, 0, 2)


def test_collisions_are_as_rare_as_chance_allows() -> None:
    """Of n = 100,000 random 32-bit numbers n² / 2^33 = 1.2 pairs collide; 8 or more has a chance below 1e-4."""
    seeds = [step_seed(7, epoch, step) for epoch in range(100) for step in range(1000)]
    assert len(seeds) - len(set(seeds)) < 8


def test_each_input_bit_flips_half_of_the_output() -> None:
    flips = [bin(step_seed(0, 3, 9) ^ step_seed(0, 3, 9 ^ (1 << bit))).count("1") for bit in range(20)]
    assert 12 < sum(flips) / len(flips) < 20


def test_known_values_stay() -> None:
    """A resumed run has to draw what the broken one would have drawn, in every later version."""
    assert [step_seed(0, 0, 0), step_seed(1, 2, 3), step_seed(2**40, 0, 1)] == KNOWN


KNOWN = [3150628639, 3072539737, 2027950531]
