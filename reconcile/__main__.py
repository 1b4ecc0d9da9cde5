"""Start the command line: `python -m reconcile` is the same as `reconcile`."""

from reconcile.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
