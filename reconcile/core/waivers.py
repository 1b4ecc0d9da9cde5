"""What a person let pass in a run, by which system user, and when."""

from collections.abc import Mapping

import msgspec

__all__ = ["Waiver", "waived"]


class Waiver(msgspec.Struct, frozen=True):
    """
    One thing that a person released (`release`), accepted (`accept_source` and so on) or agreed to (`yes`, `answered`).

    `value` is CLASS=N of a release, and empty elsewhere; `by` names the system user; `at` is ISO 8601.
    """

    what: str
    value: str
    by: str
    at: str

    @property
    def flag(self) -> str:
        """The waiver as it was given: a flag, or the answer to the question."""
        if self.what == "answered":
            return "yes at the question"
        return f"--{self.what.replace('_', '-')} {self.value}".rstrip()


def waived(options: Mapping[str, object]) -> frozenset[tuple[str, str]]:
    """Give what the options of a command let pass: every `--release`, every `--accept-...`, and `--yes`."""
    released = options.get("release")
    classes = released if isinstance(released, Mapping) else {}
    flags = {name for name, given in options.items() if given and (name == "yes" or name.startswith("accept_"))}
    return frozenset(
        {*(("release", f"{kind}={number}") for kind, number in classes.items()), *((name, "") for name in flags)}
    )
