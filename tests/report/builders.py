"""Values that the tests of this room are built from."""

import base64
import gzip
import re
from collections import deque
from collections.abc import Iterator
from random import Random
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
from reconcile.core.survey import Survey, SurveyedChange
from reconcile.core.usage import Usage
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
        requests=RequestCounts(core=0, standard=9, applying=5),
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
        unmanaged_users=(text,),
        usage=Usage(2.0, {"core": (0, 3, 1), "standard": (4, 9, 0)}, {"core": 400.0, "standard": 800.0}),
    )
    return msgspec.structs.replace(report, **but)


def surveyed(*changes: SurveyedChange, held: frozenset[str] = frozenset()) -> Survey:
    """What a page is made of, of these changes."""
    survey = Survey(held=held)
    deque(survey.watch(changes), maxlen=0)
    return survey


_FIRST = ("Ada", "Bo", "Chidi", "Dana", "Emre", "Freja", "Goran", "Hana", "Idris", "Jelena", "Kofi", "Lucía")
_LAST = ("Okafor", "Lindqvist", "Moreau", "Tanaka", "Novák", "Ferreira", "Haddad", "Kowalski", "Nguyễn", "Byrne")
_ROLES = ("default", "premium", "moderator")
_DETAILS = (
    "400 ERR_BAD_REQUEST: avatar",
    "did_not_stick: tags",
    "500 after 6 attempts",
    "the role moved since the plan",
)


def many_changes(number: int, *, applied: bool = True, held: bool = False) -> Iterator[SurveyedChange]:
    """Changes as a night has them, in plan order: a third are creates, a few end badly; `held` role changes too."""
    for seq in range(1, number + 1):
        yield a_usual_change(seq, number), _outcome(seq, number, held=held) if applied else None


def a_usual_change(seq: int, number: int) -> Change:
    """The change of this place in a plan of so many."""
    dice = Random(seq)  # noqa: S311 - the same each time
    name = f"{dice.choice(_FIRST)} {dice.choice(_LAST)}"
    picture = f"https://img.example.com/people/{dice.randrange(16**8):08x}.png"
    uid = f"user-{10_000 + dice.randrange(10**6)}"
    desired: dict[str, str | None] = {
        "name": name,
        "avatar": picture,
        "role": dice.choice(_ROLES),
        "tags": '["beta","eu"]',
        "metadata.country": '"NO"',
    }
    if seq <= number // 3:
        return Change(seq, uid, Action.CREATE, GuardClass.CREATE, tuple(desired), {}, desired, (), None, seq + 1)
    before, kind, reason = _BEFORE[dice.randrange(len(_BEFORE))]
    kept: dict[str, str | None] = {field: text or name.replace("o", "oo", 1) for field, text in before.items()}
    after: dict[str, str | None] = {**desired, **({"avatar": None} if kind is GuardClass.CLEAR else {})}
    return Change(seq, uid, Action.UPDATE, kind, tuple(kept), kept, after, (reason,), "00ff", seq + 1)


_BEFORE: tuple[tuple[dict[str, str | None], GuardClass, Reason], ...] = (
    ({"name": None}, GuardClass.UPDATE, Reason.STALE),
    ({"name": None, "tags": '["eu","trial"]'}, GuardClass.UPDATE, Reason.STALE),
    (
        {"avatar": "https://img.example.com/people/old.png", "metadata.country": '"SE"'},
        GuardClass.UPDATE,
        Reason.STALE,
    ),
    ({"role": "guest"}, GuardClass.ROLE_CHANGE, Reason.ROLE_MISMATCHED),
    ({"avatar": "https://img.example.com/people/gone.png"}, GuardClass.CLEAR, Reason.STALE),
)


def _outcome(seq: int, number: int, *, held: bool) -> Settled:
    if held and a_usual_change(seq, number).guard_class is GuardClass.ROLE_CHANGE:
        return Settled(Outcome.HELD, "guard role_change")
    if seq % 17 == 0:
        kind = (Outcome.REJECTED, Outcome.REJECTED, Outcome.FAILED, Outcome.SKIPPED)[seq // 17 % 4]
        return Settled(kind, _DETAILS[seq // 17 % 4])
    return Settled(Outcome.ALREADY if seq % 11 == 0 else Outcome.APPLIED)


def packed_rows(page: str) -> list[list[Any]]:
    """The rows that a page has packed, for its script."""
    packed = re.search(r'id="data">([^<]*)<', page)
    return msgspec.json.decode(gzip.decompress(base64.b64decode(packed[1]))) if packed else []


def unpacked(page: str) -> str:
    """A page with its packed changes as text, and without its style and script: all that it says."""
    packed = re.search(r'id="data">([^<]*)<', page)
    rows = gzip.decompress(base64.b64decode(packed[1])).decode() if packed else ""
    return re.sub(r"(?s)<(style|script)\b.*?</\1>|<meta\b[^>]*>", "", page) + rows
