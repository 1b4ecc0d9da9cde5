"""
Names of environment variables that are nearly those of settings.

A variable that is misspelt is a setting that is not made, and nobody would see it: it is an error. Others that begin with
RECONCILE_ are logged: Kubernetes makes some for every service, and one may be called reconcile.
"""

import re
from collections.abc import Iterable, Iterator, Mapping

__all__ = ["misspelt", "unknown_variables"]

_EDITS = 2
_PREFIX = "RECONCILE_"
# What Kubernetes tells each container about a service: host, ports, and an address for each port.
_OF_A_SERVICE = re.compile(r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_[A-Z]+(_(PROTO|PORT|ADDR))?)?)")
_TABLES = {
    "RECONCILEFIELDSMETADATA": "RECONCILE_FIELDS__METADATA__",
    "RECONCILEROLESMAP": "RECONCILE_ROLES__MAP__",
}


def misspelt(environ: Mapping[str, str], known: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Give each variable that is no setting and nearly the name of one, with that name."""
    names = {_bare(name): name for name in known}
    exact = set(names.values())
    for name in sorted(environ):
        if name in exact or _is_table(name) or _is_of_a_service(name):
            continue
        if right := _meant(_bare(name), names):
            yield name, right


def unknown_variables(environ: Mapping[str, str], known: Iterable[str]) -> list[str]:
    """Return the variables that begin like ours and are none; Kubernetes' own are left out."""
    exact = set(known)
    return sorted(
        name
        for name in environ
        if name.startswith(_PREFIX) and "__" not in name and name not in exact and not _is_of_a_service(name)
    )


def _meant(bare: str, names: Mapping[str, str]) -> str:
    for table, prefix in _TABLES.items():
        if bare.startswith(table) and len(bare) > len(table):
            return prefix + bare.removeprefix(table)
    return next((right for near, right in names.items() if _is_near(bare, near)), "")


def _is_table(name: str) -> bool:
    # `__` is checked as the settings are: the words there name the key that is meant.
    return name.startswith(_PREFIX) and "__" in name


def _is_of_a_service(name: str) -> bool:
    return any(found.end() == len(name) for found in _OF_A_SERVICE.finditer(name))


def _bare(name: str) -> str:
    return name.replace("_", "").upper()


def _is_near(one: str, other: str) -> bool:
    """Whether at most two letters have to be put in, left out or changed to make one text of the other."""
    if abs(len(one) - len(other)) > _EDITS:
        return False
    row = list(range(len(other) + 1))
    for at, letter in enumerate(one, start=1):
        before, row = row, [at]
        for number, letter_there in enumerate(other, start=1):
            row.append(min(before[number] + 1, row[-1] + 1, before[number - 1] + (letter != letter_there)))
        if min(row) > _EDITS:
            return False
    return row[-1] <= _EDITS
