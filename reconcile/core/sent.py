"""
A write that was answered, and what its date says of a later look at the user.

Pure. A look that is older than the write proves nothing, and one that is newer may show another's hand.
"""

import msgspec

from reconcile.core.users import Record

__all__ = ["Sent", "sent_of"]


class Sent(msgspec.Struct, frozen=True):
    """
    What is kept of a write: the `fields` that it wrote, and what its dates tell.

    `at` is the time of the record that the answer shows (whole unix seconds, None where it has none), `is_update`
    says that a record was there before, and `is_dated_alike` that this one bore the same time.
    """

    fields: tuple[str, ...]
    at: int | None = None
    is_update: bool = False
    is_dated_alike: bool = False

    def is_before(self, look: Record) -> bool:
        """Whether a look is older than the write: its date says so."""
        return look.updated_at is not None and look.updated_at < (self.at or 0)

    def may_be_before(self, look: Record) -> bool:
        """Whether its date cannot tell: it has none, or the record before the write bears the same."""
        return self.is_update and (look.updated_at is None or self.is_dated_alike)

    def is_after(self, look: Record) -> bool:
        """Whether somebody touched the user after the write."""
        # Also who deleted it, and made another one under its uid.
        return self.at is not None and look.moved_at is not None and look.moved_at > self.at


def sent_of(fields: tuple[str, ...], echo: Record, met: Record | None = None) -> Sent:
    """Note a write: `echo` is the answer to its last call, `met` the record that this call met, if any."""
    return Sent(fields, echo.moved_at, met is not None, met is not None and met.updated_at == echo.updated_at)
