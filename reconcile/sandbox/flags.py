"""
What the two front doors share: `reconcile sandbox` and `python -m reconcile.sandbox`.

Owns the way from flags to options, and the words about the switches. How a flag is declared and how trouble is
told is each door's own.
"""

from collections.abc import Iterable
from typing import Any

from reconcile.sandbox.profiles import profile
from reconcile.sandbox.server import Options
from reconcile.sandbox.switches import flip

__all__ = ["options_of"]


def options_of(*, profile_name: str, switch: Iterable[str], no_log: bool, **rest: Any) -> Options:
    """
    Return the options that the flags say; `rest` are those that bear the same name on both sides.

    Raises: ValueError for a profile, a switch or a value that does not exist, with the nearest one.
    """
    switches = dict(_pair(text) for text in switch)
    flip(profile(profile_name), switches)  # told now, as a matter of usage
    return Options(profile=profile_name, switches=switches, keep_log=not no_log, **rest)


def _pair(text: str) -> tuple[str, str]:
    name, found, value = text.partition("=")
    if not found:
        raise ValueError(f"--switch takes NAME=VALUE, not {text!r}")
    return name, value
