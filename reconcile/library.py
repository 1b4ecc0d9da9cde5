"""
The job as functions: `plan` and `apply` for a notebook, an Airflow task or a script of one's own.

They do what the commands of these names do, with the same settings, locks, files and laws, and give what a program
goes on with in place of an exit code. Nothing is printed; the log goes to `logging` as JSON lines, under `reconcile`,
unless the host has set structlog up for itself.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from reconcile import pipeline
from reconcile.config import Flags, environment, load
from reconcile.core.plan import plain
from reconcile.core.report import Report
from reconcile.errors import ExitCode, NotDone, SettingsError
from reconcile.logs import configure_for_host
from reconcile.opening import opened
from reconcile.progress import make_progress
from reconcile.run import Options, Run, Stage, Step, real_world
from reconcile.settings import Settings
from reconcile.store.planfile import PlanFile, settled_changes
from reconcile.store.state import StateReader

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ChangeRow", "Result", "apply", "plan"]


class ChangeRow(msgspec.Struct, frozen=True):
    """
    One change of a plan. `before` and `after` hold the managed fields that it writes, as values of JSON.

    `outcome` and `detail` say what became of it; None and empty where nothing was applied. The words are those of
    changes.csv.
    """

    uid: str
    action: str
    guard_class: str
    reasons: tuple[str, ...]
    fields: tuple[str, ...]
    before: dict[str, Any]
    after: dict[str, Any]
    outcome: str | None
    detail: str
    source_row: int | None


@dataclass(frozen=True, slots=True)
class Result:
    """
    How a run ended: its report, as in report.json, and the folder in which its files stand.

    A run that ended early has a report, too: ask `is_done`, or call `check`.
    """

    report: Report
    folder: Path

    @property
    def run_id(self) -> str:
        """The run's id, for `apply(run_id)`."""
        return self.report.run_id

    @property
    def is_done(self) -> bool:
        """Whether the run ended as it should: exit code 0."""
        return self.report.exit_code == 0

    def check(self) -> "Result":
        """Give the result itself where all is done. Raises: NotDone with the words of the report where not."""
        if not self.is_done:
            # By its name: mypy takes an exit code of more than a number for a call with two.
            code = next(code for code in ExitCode if code == self.report.exit_code)
            raise NotDone(self.report.headline, hint="; ".join(self.report.needs), exit_code=code)
        return self

    def changes(self) -> Iterator[ChangeRow]:
        """Give the changes in plan order, one at a time, however many there are. Raises: PlanError."""
        path = self.folder / "plan.jsonl.gz"
        if not path.exists():
            return
        made = PlanFile(path)
        state = StateReader(self.folder.parent / "state.sqlite")
        is_applied = self.report.outcomes is not None
        pairs = (
            settled_changes(made, state, self.run_id) if is_applied else ((row, None) for row in made.changes())
        )
        for change, settled in pairs:
            yield ChangeRow(
                uid=change.uid,
                action=change.action.value,
                guard_class=change.guard_class.value,
                reasons=tuple(reason.value for reason in change.reasons),
                fields=change.fields,
                before=plain(change.before),
                after=plain(change.after),
                outcome=settled.outcome.value if settled else None,
                detail=settled.detail if settled else "",
                source_row=change.source_row,
            )

    def frame(self) -> "pd.DataFrame":
        """Give the changes as a table, a row each, with the columns of `ChangeRow`."""
        import pandas as pd  # noqa: PLC0415 - for those who ask

        rows = [msgspec.structs.asdict(row) for row in self.changes()]
        return pd.DataFrame(rows, columns=list(ChangeRow.__struct_fields__))


def plan(
    config: str | Path | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    release: Mapping[str, int] | None = None,
    accept_source: bool = False,
    expect_rows: int | None = None,
    require_state: bool = False,
    since: str | None = None,
) -> Result:
    """
    Find out what would have to change, and write nothing to CometChat.

    `config` is a settings file; `settings` goes above it and above the environment, with the file's keys, dotted
    or as tables: {"source.location": "users.csv", "fields": {"name": "full_name"}}. `environ` stands in for the
    process's own environment, where the API key is looked for. The other arguments are the command's flags; an empty
    `since` is the flag without a value.

    Raises: ReconcileError where no run could be opened (settings, key, lock, state). What ends a run later is in
    its report.
    """
    options = Options(
        release=release or {},
        accept_source=accept_source,
        expect_rows=expect_rows,
        require_state=require_state,
        since=since,
    )
    given = _settings(config, settings, environ)
    return _carry_out("plan", given, options, pipeline.plan, Stage(Step.PLANNING), environ)


def apply(  # noqa: PLR0913 - the flags of the command
    run_id: str | None = None,
    config: str | Path | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    limit: int | None = None,
    release: Mapping[str, int] | None = None,
    accept_source: bool = False,
    accept_mapping: bool = False,
    expect_rows: int | None = None,
    require_state: bool = False,
    since: str | None = None,
    accept_age: bool = False,
) -> Result:
    """
    Make the changes: exactly the plan of the run `run_id` (or a path to one); without it, plan and apply in one go.

    Calling it is the yes: nobody is asked. What a guard holds is left, and said. The arguments are those of
    `plan`, and the command's flags. Raises: ReconcileError, as `plan`.
    """
    options = Options(
        limit=limit,
        release=release or {},
        accept_source=accept_source,
        accept_mapping=accept_mapping,
        expect_rows=expect_rows,
        require_state=require_state,
        since=since,
        yes=True,
        accept_age=accept_age,
    )
    given = _settings(config, settings, environ)
    stage = Stage(Step.PLANNING)
    if run_id is not None:
        stage = Stage(Step.ADOPTING, str(pipeline.plan_path(given.run_dir, run_id)))
    body = partial(pipeline.apply, confirm=lambda _header, _left, _caution: True)
    return _carry_out("apply", given, options, body, stage, environ)


def _settings(
    config: str | Path | None, settings: Mapping[str, Any] | None, environ: Mapping[str, str] | None
) -> Settings:
    configure_for_host()
    flags = Flags(None if config is None else str(config), dict(_leaves(settings or {})))
    return load(flags, environment() if environ is None else environ)


def _leaves(given: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], Any]]:
    """Give each setting by its section and key."""
    for name, value in given.items():
        section, _, key = name.partition(".")
        if key:
            yield (section, key), value
        elif isinstance(value, Mapping):
            yield from (((section, inner), deep) for inner, deep in value.items())
        else:
            raise SettingsError(f"{name} is no setting", hint='sections are tables: {"source": {"location": ...}}')


def _carry_out(
    command: str,
    settings: Settings,
    options: Options,
    body: Callable[[Run], Report],
    stage: Stage,
    environ: Mapping[str, str] | None,
) -> Result:
    world = real_world(environment() if environ is None else environ)
    progress = make_progress(quiet=False, stream=None, monotonic=world.monotonic)
    with opened(command, settings, options, world, progress, stage, note=lambda _words: None) as (run, told):
        report = told.report = body(run)
    return Result(report, run.folder.path)
