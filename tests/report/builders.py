"""Values that the tests of this room are built from."""

from typing import Any

import msgspec

from reconcile.core.frame import Quarantined, QuarantineKind
from reconcile.core.guards import GuardClass
from reconcile.core.normal import canonical_json
from reconcile.core.outcome import Outcome, Settled, empty_tally
from reconcile.core.plan import Action, Change
from reconcile.core.report import (
    DirectoryCounts,
    DriftCounts,
    GuardLine,
    PlanCounts,
    Report,
    RequestCounts,
    SourceCounts,
)
from reconcile.core.users import Reason


def a_change(text: str = "Plum", **but: Any) -> Change:
    """An update that has this text wherever a text from outside may stand."""
    change = Change(
        seq=1,
        uid="plum",
        action=Action.UPDATE,
        guard_class=GuardClass.UPDATE,
        fields=("name", "avatar", "tags", f"metadata.{text}"),
        before={"name": text, "avatar": text, "tags": None, f"metadata.{text}": canonical_json(text)},
        desired={"name": text, "avatar": None, "tags": canonical_json([text]), f"metadata.{text}": None},
        reasons=(Reason.STALE,),
        source_row=7,
    )
    return msgspec.structs.replace(change, **but)


def a_row(text: str = "Plum") -> Quarantined:
    """A quarantined row that has this text where the source's may stand."""
    return Quarantined(source_row=3, kind=QuarantineKind.INVALID, detail=text, uid=None, raw_uid=text)


def settled(text: str = "why") -> Settled:
    """An outcome with this detail."""
    return Settled(Outcome.REJECTED, text)


def a_report(text: str = "Plum", **but: Any) -> Report:
    """A report that has this text in every place where one from outside may stand."""
    report = Report(
        run_id="20261123T021500Z-3f9a",
        command="apply",
        app_id=text,
        started_at="2026-11-23T02:15:00+00:00",
        finished_at="2026-11-23T02:16:00+00:00",
        exit_code=4,
        verdict="incomplete",
        headline=text,
        source=SourceCounts(location=text, rows=3, valid=2, quarantined=1, sha256="00ff", as_of=text),
        directory=DirectoryCounts(users=10, deactivated=1, requests=4, fetch="walk"),
        drift=DriftCounts(in_step=1, missing=0, drifted=1, stale=1),
        plan=PlanCounts(create=0, update=1, reactivate=0, deactivate=0, held=0),
        outcomes={**empty_tally(), "rejected": 1},
        requests=RequestCounts(core=0, standard=9),
        forecast={
            "requests": 2,
            "core": 0,
            "standard": 2,
            "seconds": 75,
            "note": text,
            "share": {"core": None, "standard": 0.0125},
        },
        timing={"read": 0.5},
        peak_rss_mib=123,
        guards={"update": GuardLine(1, 10, 3, "pass", "", text)},
        notes=(text,),
        needs=(text,),
        error={"message": text, "hint": text},
    )
    return msgspec.structs.replace(report, **but)
