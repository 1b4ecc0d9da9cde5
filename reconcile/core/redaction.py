"""
A run's report without its users: what may be sent outside.

A uid, a role and the app's id become keyed hashes: the same one is the same everywhere, also in the reports of other
runs of this state file, and only the file's secret could tell whose it is. Values become words. What we say in
sentences may name anybody, so of it only what is made anew from numbers stays. The names of fields stay.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b

import msgspec

from reconcile.core.frame import Quarantined
from reconcile.core.normal import canonical_json
from reconcile.core.outcome import Settled
from reconcile.core.plan import Change
from reconcile.core.report import Report, SourceCounts, command_in
from reconcile.core.sticking import differing
from reconcile.core.users import is_json_field

__all__ = ["Redactor"]

_BEFORE, _AFTER = "(hidden)", "(changed)"
_LEFT_OUT = "left out of the redacted report"


@dataclass(frozen=True, slots=True)
class Redactor:
    """Redacts with one secret."""

    salt: str

    def mark(self, kind: str, text: str) -> str:
        """Give the keyed hash that stands for a text."""
        # Another use of the secret than a tombstone: who has one of the two cannot look it up in the other.
        digest = blake2b(
            text.encode("utf-8", "replace"), key=self.salt.encode(), digest_size=6, person=b"redacted"
        )
        return f"{kind}-{digest.hexdigest()}"

    def change(self, change: Change) -> Change:
        """Hide whom a change is about, and every value of it."""
        return msgspec.structs.replace(
            change,
            uid=self.mark("user", change.uid),
            before={name: self._value(name, text, _BEFORE) for name, text in change.before.items()},
            desired={name: self._value(name, text, _AFTER) for name, text in change.desired.items()},
            fingerprint=None,
        )

    def settled(self, settled: Settled, change: Change) -> Settled:
        """Take what is known of a user out of the words about its change, should CometChat have repeated it."""
        texts = {change.uid, *change.before.values(), *change.desired.values()} - {None, ""}
        detail = settled.detail
        for text in sorted(filter(None, texts), key=len, reverse=True):
            detail = re.sub(rf"(?<!\w){re.escape(text)}(?!\w)", _BEFORE, detail, flags=re.IGNORECASE)
        return msgspec.structs.replace(settled, detail=detail, fingerprint=None)

    def row(self, row: Quarantined) -> Quarantined:
        """Hide what a quarantined row says; where it stands and of what kind it is stay. Hidden once, it stays as it is."""
        if row.detail == _LEFT_OUT:
            return row
        uid = self.mark("user", row.uid or row.raw_uid.strip().lower()) if row.uid or row.raw_uid.strip() else ""
        return Quarantined(row.source_row, uid or None, row.kind, _LEFT_OUT, uid)

    def report(self, report: Report) -> Report:
        """Hide what the report itself says of users, of the app and of this machine."""
        return msgspec.structs.replace(
            report,
            app_id=self.mark("app", report.app_id),
            source=_source(report.source),
            guards={name: msgspec.structs.replace(guard, because="") for name, guard in report.guards.items()},
            notes=(f"{len(report.notes)} notes are {_LEFT_OUT}",) if report.notes else (),
            needs=tuple(_needs(report)),
            error=report.error
            and {"message": f"the reason is {_LEFT_OUT}", "hint": command_in(report.error["hint"])},
            unmanaged_users=tuple(self.mark("user", uid) for uid in report.unmanaged_users),
            waivers=tuple(
                msgspec.structs.replace(waiver, by=self.mark("login", waiver.by)) for waiver in report.waivers
            ),
            redacted=True,
        )

    def _value(self, name: str, text: str | None, word: str) -> str | None:
        if text is None:
            return None
        if name == "role":
            return self.mark("role", text)
        return canonical_json(word) if is_json_field(name) else word


def _source(source: SourceCounts) -> SourceCounts:
    scheme, is_url, _ = source.location.partition("://")
    shown = f"{scheme} database" if is_url else re.split(r"[\\/]", source.location)[-1]
    return msgspec.structs.replace(source, location=shown)


def _needs(report: Report) -> Iterator[str]:
    """Say anew what a person has to do, from the numbers and the commands alone."""
    if report.error and (command := command_in(report.error["hint"])):
        yield f"finish it with: {command}"
    for name, guard in report.guards.items():
        if guard.verdict == "held":
            yield f"{name} is held: {guard.measured} changes; to let it pass: {guard.release}"
    outcomes = report.outcomes or {}
    trouble = [f"{outcomes[name]} {name}" for name in ("rejected", "skipped", "failed") if outcomes.get(name)]
    if trouble:
        yield f"{', '.join(trouble)}: see changes.csv"
    if report.drift.known_differences:
        yield f"{differing(report.drift.known_differences)}; to try now: reconcile retry {report.run_id}"
    if report.source.quarantined:
        yield f"{report.source.quarantined} source rows are quarantined: see quarantine.csv"
