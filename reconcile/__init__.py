"""
Make the users of a CometChat app match the users of your own app.

The main path is `reconcile.pipeline`; the words used everywhere are in `reconcile.core.users`.
"""

from reconcile.core.ids import hash_suffix, lower, strip

__all__ = ["__version__", "hash_suffix", "lower", "strip"]

__version__ = "0.1.0"
