"""The seed of one step's draw: a hash, so that no two steps of a run share their masks but by chance."""


def step_seed(seed: int, epoch: int, step: int) -> int:
    """A 32-bit hash of (seed, epoch, step): torch's CPU generator looks at the low 32 bits of a seed only."""
    mixed = 0
    for word in (seed & 0xFFFFFFFF, seed >> 32, epoch, step):
        mixed = _mix((mixed + 0x9E3779B9 + word) & 0xFFFFFFFF)
    return mixed


def _mix(value: int) -> int:
    """A bijection of 32-bit numbers in which every input bit reaches every output bit."""
    value = ((value ^ (value >> 16)) * 0x7FEB352D) & 0xFFFFFFFF
    value = ((value ^ (value >> 15)) * 0x846CA68B) & 0xFFFFFFFF
    return value ^ (value >> 16)
