"""
A run as metrics, in the text format that Prometheus' node exporter reads from a file.

Nothing in it names a user, so the file may be read by others: a collector runs as somebody else.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime

import msgspec

from reconcile.core.report import Report

__all__ = ["render_metrics"]

Labels = Mapping[str, str]
_Family = tuple[str, str, list[tuple[Labels, float | None]]]


def render_metrics(
    report: Report, last_success: str | None, last_whole: str | None, budget: Mapping[str, float]
) -> str:
    """
    Give the file.

    `last_success` is when a run of this kind last ended with exit code 0 (ISO 8601), and `last_whole` when one did
    that read all of the source; `budget` the requests a minute that were ours, by rate group.
    """
    own = {"app_id": report.app_id}
    lines: list[str] = []
    for name, help_, samples in _families(report, last_success, last_whole, budget):
        known = [(labels, value) for labels, value in samples if value is not None]
        if known:
            lines += [f"# HELP reconcile_{name} {help_}", f"# TYPE reconcile_{name} gauge"]
            lines += [f"reconcile_{name}{_braced({**own, **labels})} {value:.15g}" for labels, value in known]
    return "\n".join(lines) + "\n"


def _families(
    report: Report, last_success: str | None, last_whole: str | None, budget: Mapping[str, float]
) -> Iterator[_Family]:
    began, ended = _unix(report.started_at), _unix(report.finished_at)
    info = {"run_id": report.run_id, "command": report.command, "verdict": report.verdict}
    yield "run_info", "The last run; its labels say which, and how it ended.", [(info, 1)]
    yield "exit_code", "Exit code of the last run.", [({}, report.exit_code)]
    yield "last_run_timestamp_seconds", "When the last run ended.", [({}, ended)]
    last, whole = (None if moment is None else _unix(moment) for moment in (last_success, last_whole))
    yield "last_success_timestamp_seconds", "When a run last ended with exit code 0.", [({}, last)]
    words = "When a run over all of the source last ended with exit code 0."
    yield "last_full_success_timestamp_seconds", words, [({}, whole)]
    yield "duration_seconds", "How long the last run took.", [({}, ended - began)]
    is_part = report.source.since is not None
    yield "partial", "Whether the last run read only what changed in the source.", [({}, is_part)]
    # What a part has is no number of the whole: nobody is to be told that all other users are gone.
    rows = {} if is_part else {"valid": report.source.valid, "quarantined": report.source.quarantined}
    drift = msgspec.to_builtins(report.drift)
    # What the state file knows holds of the whole, also beside a part.
    known = drift.pop("known_differences")
    del drift["known_values"]  # no users
    found = {} if is_part else drift
    yield "source_rows", "Rows of the source.", _by("state", rows)
    yield "users", "Users by what was found of them.", _by("situation", found)
    yield (
        "known_differences",
        "Users with a value that CometChat took and did not keep, not tried by this run.",
        [({}, known)],
    )
    planned = msgspec.to_builtins(report.plan)
    held = planned.pop("held")
    yield "planned_changes", "Changes of the plan, held ones too.", _by("action", planned)
    yield "held_changes", "Changes that a guard held back.", [({}, held)]
    yield "changes", "Changes by what became of them.", _by("outcome", report.outcomes or {})
    sent = {"core": report.requests.core, "standard": report.requests.standard}
    yield "requests", "Requests that left, by rate group.", _by("group", sent)
    yield "budget_per_minute", "Requests a minute that the run could send, by rate group.", _by("group", budget)
    yield "throttled", "Answers that said the rate limit was reached.", [({}, report.requests.throttled)]


def _by(label: str, counts: Mapping[str, float | None]) -> list[tuple[Labels, float | None]]:
    return [({label: name}, count) for name, count in counts.items()]


def _braced(labels: Labels) -> str:
    return "{" + ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items()) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _unix(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
