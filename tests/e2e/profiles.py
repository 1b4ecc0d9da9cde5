"""What the end-to-end tests expect under each profile of the sandbox, where that depends on the service."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.scale import is_soaking

__all__ = ["PROFILES", "Profile", "in_turn", "under_one_profile"]

# An app that does not name its limits is asked carefully, and each run would take a minute.
_RATES = {"RECONCILE_LIMITS__CORE_PER_MINUTE": "9000", "RECONCILE_LIMITS__STANDARD_PER_MINUTE": "18000"}


@dataclass(frozen=True, slots=True)
class Profile:
    """
    One way to answer the open questions.

    `stuck` are the users, of the samples and of the small world, of whom one value cannot be cleared by any
    known call: their change is rejected as `did_not_stick`, and an apply ends with 4 instead of 0.
    """

    name: str
    environment: Mapping[str, str] = field(default_factory=dict)
    stuck_in_samples: frozenset[str] = frozenset()
    stuck_in_world: frozenset[str] = frozenset()

    @property
    def done(self) -> int:
        """The exit code of an apply that did all that can be done."""
        return 4 if self.stuck_in_samples else 0

    @property
    def quiet(self) -> str:
        """The verdict of a run after one that did all that can be done."""
        return "incomplete" if self.stuck_in_samples else "in_step"

    @property
    def clears_tags(self) -> bool:
        """Whether tags can be cleared."""
        return not self.stuck_in_samples


PROFILES = {
    "observed": Profile("observed"),
    "documented": Profile("documented", _RATES),
    "hostile": Profile(
        "hostile",
        _RATES,
        # Tags; the last metadata keys, beside what may be hidden.
        stuck_in_samples=frozenset({"0066", "0240", "bird_74", "bird-229"}),
        # Tags; a metadata key beside a foreign one, and beside what may be hidden.
        stuck_in_world=frozenset({"untagged", "homeless", "alone", "paired"}),
    ),
}

# For a test, or as `pytestmark` for a module, of what does not depend on how the service answers.
under_one_profile = pytest.mark.parametrize("profile", ["observed"], indirect=True)


def in_turn(names: tuple[str, ...], cases: Iterable[tuple[Any, ...]]) -> pytest.MarkDecorator:
    """Parametrize: each case under one of the profiles, which take turns; in the soak under every one of them."""
    everyone = list(PROFILES)
    drawn = [
        (*case, profile)
        for at, case in enumerate(cases)
        for profile in (everyone if is_soaking() else [everyone[at % len(everyone)]])
    ]
    return pytest.mark.parametrize((*names, "profile"), drawn, indirect=["profile"])
