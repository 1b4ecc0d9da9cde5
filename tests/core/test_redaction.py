"""Promises about a report that may be sent outside: it names nobody, and still says what happened."""

import re

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from reconcile.core.frame import Quarantined, QuarantineKind
from reconcile.core.outcome import Outcome, Settled
from reconcile.core.redaction import Redactor
from reconcile.core.report import GuardLine, SourceCounts, command_in
from tests.report.builders import a_change, a_report, a_row

REDACTOR = Redactor("of this state file")
WORD = "Zebedee"


def test_the_same_user_is_the_same_everywhere_and_another_is_not() -> None:
    """In a change, a quarantined row and among the unmanaged; under another secret it is somebody else."""
    mark = REDACTOR.mark("user", "plum")

    assert re.fullmatch(r"user-[0-9a-f]{12}", mark)
    assert REDACTOR.change(a_change()).uid == mark
    row = Quarantined(3, "plum", QuarantineKind.COLLISION, "the same uid as in row 9", "Plum")
    assert REDACTOR.row(row).uid == mark
    assert REDACTOR.report(a_report(unmanaged_users=("plum", "fig"))).unmanaged_users[0] == mark
    assert REDACTOR.mark("user", "fig") != mark
    assert Redactor("of another").mark("user", "plum") != mark


@given(st.text(min_size=1))
def test_whatever_a_text_is_its_mark_tells_nothing_of_it(text: str) -> None:
    """Any text has one."""
    assert re.fullmatch(r"user-[0-9a-f]{12}", REDACTOR.mark("user", text))


def test_of_a_change_its_fields_stay_and_no_value_does() -> None:
    """Nothing stays nothing, so that a clear is seen to be one; a role can be told from another."""
    change = a_change(WORD, uid=WORD, fields=("name", "avatar", "role"))
    change = msgspec.structs.replace(
        change,
        before={"name": WORD, "avatar": WORD, "role": WORD},
        desired={"name": WORD, "avatar": None, "role": "pro"},
    )
    hidden = REDACTOR.change(change)

    assert WORD not in repr(hidden)
    assert hidden.fields == ("name", "avatar", "role")
    assert (hidden.before["name"], hidden.desired["name"]) == ("(hidden)", "(changed)")
    assert hidden.desired["avatar"] is None
    assert hidden.desired["role"] == REDACTOR.mark("role", "pro") != hidden.before["role"]
    assert (hidden.seq, hidden.action, hidden.source_row) == (change.seq, change.action, change.source_row)


def test_what_cometchat_repeated_of_a_user_is_taken_out_of_its_words() -> None:
    """Its uid and its values, in any case of letters; the code of the error stays."""
    change = a_change("Zoe (x+y)", uid="plum")
    settled = Settled(Outcome.REJECTED, "400 ERR_NAME: zoe (x+y) of PLUM is taken", fingerprint="00ff")
    hidden = REDACTOR.settled(settled, change)

    assert hidden.detail == "400 ERR_NAME: (hidden) of (hidden) is taken"
    assert hidden.outcome is Outcome.REJECTED


def test_of_a_quarantined_row_where_it_stands_and_its_kind_stay() -> None:
    """A row that was hidden once is not hidden again: its mark would be another."""
    hidden = REDACTOR.row(a_row(WORD))

    assert WORD not in repr(hidden)
    assert (hidden.source_row, hidden.kind) == (3, QuarantineKind.INVALID)
    assert REDACTOR.row(hidden) == hidden
    assert REDACTOR.row(Quarantined(4, None, QuarantineKind.INVALID, "the uid is empty")).raw_uid == ""


def test_of_a_report_its_numbers_stay_and_no_sentence_about_users_does() -> None:
    """Those that say what to do are made anew, with their commands."""
    report = a_report(
        WORD,
        headline="Incomplete: 0 of 1 changes made; 1 rejected.",
        source=SourceCounts(f"/home/{WORD}/users.csv", 3, 2, 1, "00ff", "2026-11-23T01:58:00+00:00"),
        forecast=None,
        error={"message": WORD, "hint": f"{WORD} did it; finish it with: reconcile resume"},
        guards={"update": GuardLine(5, 10, 3, "held", "reconcile apply R --release update=5", WORD)},
    )
    hidden = REDACTOR.report(report)

    assert WORD not in repr(hidden)
    assert hidden.source.location == "users.csv"
    assert hidden.needs == (
        "finish it with: reconcile resume",
        "update is held: 5 changes; to let it pass: reconcile apply R --release update=5",
        "1 rejected: see changes.csv",
        "1 source rows are quarantined: see quarantine.csv",
    )
    assert hidden.notes == ("1 notes are left out of the redacted report",)
    assert hidden.redacted
    assert (hidden.headline, hidden.drift, hidden.plan, hidden.outcomes) == (
        report.headline,
        report.drift,
        report.plan,
        report.outcomes,
    )


def test_of_a_database_only_its_kind_stays() -> None:
    """Its address names a host and a user."""
    report = a_report(source=SourceCounts("postgresql://bob@db.example.com/people"))

    assert REDACTOR.report(report).source.location == "postgresql database"


def test_a_command_is_what_follows_a_colon() -> None:
    """Up to what else may be said."""
    assert command_in("look at the plan, then: reconcile apply R; or, without a look: --accept-mapping") == (
        "reconcile apply R"
    )
    assert command_in("reconcile runs lists what there is") == ""
