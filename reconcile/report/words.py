"""The words and rows that every form of the report shares, so that each number is told once."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from reconcile.core.guards import GuardClass
from reconcile.core.plan import Action, Change, plain
from reconcile.core.report import GuardLine, Report, command_in
from reconcile.core.waivers import Waiver

__all__ = [
    "REMEDIES",
    "Task",
    "change_parts",
    "change_words",
    "count_rows",
    "duration",
    "limit_rows",
    "recent_words",
    "share_words",
    "shown_value",
    "tasks",
    "waiver_words",
]

Rows = list[tuple[str, str]]
REMEDIES = {
    "invalid": "correct the row in the export",
    "collision": "leave one row for this uid in the export",
    "unknown_role": "create the role in CometChat, or map it in [roles]",
    "protected_role": "give the row another role, or take the role out of policy.protect_roles",
}


class Task(NamedTuple):
    """What a person has to do, and the command to copy, where there is one."""

    words: str
    command: str


def tasks(report: Report) -> list[Task]:
    """Give what a person has to do, most urgent first."""
    found = []
    for need in report.needs:
        command = command_in(need)
        found.append(Task(need.replace(f": {command}", "", 1) if command else need, command))
    outcomes = report.outcomes or {}
    trouble = sum(outcomes.get(name, 0) for name in ("rejected", "skipped", "failed"))
    # Of a run that was stopped the rest comes first: to try again now would give it up.
    if trouble and report.verdict == "incomplete":
        found.append(Task("once the causes are gone, try those users again", f"reconcile retry {report.run_id}"))
    if report.verdict in {"planned", "planned_held"}:
        found.append(Task("look through the changes, then make them", f"reconcile apply {report.run_id}"))
    return found


def count_rows(report: Report) -> list[tuple[str, Rows]]:
    """Give the report's numbers as titled tables, in the order in which they are read."""
    source, directory, drift, plan = report.source, report.directory, report.drift, report.plan
    tables: list[tuple[str, Rows]] = [
        (
            "Source",
            [
                ("location", source.location),
                ("rows", _n(source.rows)),
                ("valid", _n(source.valid)),
                ("quarantined", _n(source.quarantined)),
                ("true as of", source.as_of or "unknown"),
                *([("read", source.part)] if source.part else []),
            ],
        ),
        (
            "Directory",
            [
                ("users seen", _n(directory.users)),
                ("of them deactivated", _n(directory.deactivated)),
                ("requests", _n(directory.requests)),
                ("read by", directory.fetch or "not read"),
            ],
        ),
        (
            "Drift",
            [(name.replace("_", " "), _n(value)) for name, value in _fields(drift) if _is_asked(name, value)],
        ),
        ("Plan", [(name, _n(value)) for name, value in _fields(plan)]),
    ]
    if report.outcomes is not None:
        tables.append(("Outcomes", [(name.replace("_", " "), str(n)) for name, n in report.outcomes.items()]))
    if report.forecast is not None:
        forecast = report.forecast
        rows = [("forecast", f"{forecast['requests']:,} requests, {duration(forecast['seconds'])}")]
        if shares := share_words(forecast):
            rows.append(("of the app's budget", shares))
        if report.spent is not None:
            requests, seconds = report.spent
            rows.append(("fact", f"{requests:,} requests, {duration(seconds)}"))
        tables.append(("Cost of applying", rows))
    if rows := limit_rows(report):
        tables.append(("Limits over time", rows))
    if report.waivers:
        tables.append(("Let pass", [(waiver.flag, f"by {waiver.by}, {waiver.at}") for waiver in report.waivers]))
    tables.append(("Requests", [(name, _n(value)) for name, value in _fields(report.requests)]))
    tables.append(("Seconds by stage", [(name, f"{seconds:.2f}") for name, seconds in report.timing.items()]))
    return tables


def recent_words(guard: GuardLine) -> str:
    """Say how many users a plan and earlier runs change together; only of the plan where no window counted any."""
    beside = ", ".join(
        f"{number:,} others in the last {window}" for window, number in (guard.recent or {}).items()
    )
    measured = guard.measured or 0
    return f"{measured:,} in this plan and {beside}" if beside else f"{measured:,}"


def limit_rows(report: Report) -> Rows:
    """Give the guards that counted earlier runs, too: both numbers and the limit."""
    return [
        (name.replace("_", " "), f"{recent_words(guard)}; the limit is {_n(guard.limit)}")
        for name, guard in report.guards.items()
        if guard.recent
    ]


def waiver_words(waivers: Iterable[Waiver]) -> list[str]:
    """Say what was released, accepted or agreed to, a sentence for each system user."""
    by: dict[str, list[str]] = {}
    for waiver in waivers:
        by.setdefault(waiver.by, []).append(waiver.flag)
    return [f"{', '.join(flags)} by {login}" for login, flags in by.items()]


def share_words(forecast: Mapping[str, Any]) -> str:
    """Say how much of what the app may send a forecast takes; empty where the app's limits are not known."""
    shares = {name: share for name, share in (forecast.get("share") or {}).items() if share is not None}
    return ", ".join(f"{100 * share:.3g} % of {name}" for name, share in shares.items())


def change_words(change: Change) -> str:
    """Say one change in a line: `name "Bob" -> "Robert"`."""
    return ", ".join(change_parts(change))


def change_parts(change: Change) -> list[str]:
    """Say one change field by field."""
    before, after = plain(change.before), plain(change.after)
    match change.action:
        case Action.CREATE:
            return [f"{name} {shown_value(value)}" for name, value in after.items()]
        case Action.UPDATE:
            return [
                f"{name} {shown_value(before.get(name))} -> {shown_value(after[name])}" for name in change.fields
            ]
        case Action.REACTIVATE:
            is_foreign = change.guard_class is GuardClass.REACTIVATE_FOREIGN
            return ["active again, though another hand switched it off" if is_foreign else "active again"]
        case Action.DEACTIVATE:
            return ["not in the source"]


def shown_value(value: Any) -> str:
    """Give a value as a reader expects it: JSON, and a word for nothing."""
    return "(none)" if value is None else msgspec.json.encode(value).decode()


def _fields(struct: msgspec.Struct) -> list[tuple[str, int | None]]:
    return [(name, getattr(struct, name)) for name in struct.__struct_fields__]


def _is_asked(name: str, value: int | None) -> bool:
    # No scope is asked where nobody is to be deactivated: that is not the same as not known.
    return name != "unmanaged_out_of_scope" or value is not None


def _n(number: int | None) -> str:
    return "not known" if number is None else f"{number:,}"


def duration(seconds: float) -> str:
    """Give a time as people say it."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    hours, minutes = whole // 3600, whole % 3600 // 60
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {whole % 60} s"
