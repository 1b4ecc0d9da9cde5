"""
Make the users of a CometChat app match the users of your own app.

The main path is `reconcile.pipeline`; the words used everywhere are in `reconcile.core.users`.
"""

__version__ = "0.1.0"
