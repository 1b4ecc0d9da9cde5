"""
Make the users of a CometChat app match the users of your own app.

The main path is `reconcile.pipeline`; the words used everywhere are in `reconcile.core.users`. As a library:
`from reconcile import plan, apply` (`reconcile.library`).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from reconcile.core.ids import hash_suffix, lower, strip

if TYPE_CHECKING:
    from reconcile.errors import NotDone, ReconcileError
    from reconcile.library import ChangeRow, Result, apply, plan

__all__ = [
    "ChangeRow",
    "NotDone",
    "ReconcileError",
    "Result",
    "__version__",
    "apply",
    "hash_suffix",
    "lower",
    "plan",
    "strip",
]

__version__ = "0.1.0"

# Loaded when they are asked for: the command line has to start without them.
_HOMES = {
    "ChangeRow": "library",
    "NotDone": "errors",
    "ReconcileError": "errors",
    "Result": "library",
    "apply": "library",
    "plan": "library",
}


def __getattr__(name: str) -> Any:
    """Load a part of the library."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"reconcile.{_HOMES[name]}"), name)
