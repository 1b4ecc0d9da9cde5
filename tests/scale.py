"""
How much of a generated kind a run of the tests makes, and from which seed.

`make test` makes a share that fits a coffee break, from one seed, so that it says the same twice. `make soak`
makes many times as much, from a new seed each time, which it prints; TEST_SEED brings one back.
"""

import os
from random import Random, SystemRandom

__all__ = ["SEED_VARIABLE", "dice", "how_many", "is_soaking", "new_seed", "seed"]

SEED_VARIABLE = "TEST_SEED"


def is_soaking() -> bool:
    """Whether this is `make soak`."""
    return bool(os.environ.get("TEST_SOAK"))


def how_many(usually: int, *, soak: int) -> int:
    """Give the number of cases to make."""
    return soak if is_soaking() else usually


def seed() -> int:
    """Give the seed that everything generated comes from."""
    return int(os.environ.get(SEED_VARIABLE, "0"))


def new_seed() -> int:
    """Give a seed that nobody has had."""
    return SystemRandom().randrange(1 << 31)


def dice(case: int | str) -> Random:
    """Give the dice of one case; its name in a failure and the printed seed bring it back."""
    return Random(f"{seed()}/{case}")  # noqa: S311 - repeatable on purpose
