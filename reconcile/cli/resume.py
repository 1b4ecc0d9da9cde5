"""`reconcile resume`: finish a run that was stopped or killed."""

from dataclasses import replace
from typing import Any

import click

from reconcile.cli.completing import run_ids
from reconcile.cli.ending import say
from reconcile.cli.options import accept_age_option, configured, output_options, settings_options

__all__ = ["command"]

_OVER = frozenset({"finished", "superseded"})
_UNFINISHED = "command <> 'plan' AND state NOT IN ('finished', 'superseded')"


@click.command("resume")
@click.argument("run_id", metavar="[RUN]", required=False, shell_complete=run_ids(_UNFINISHED))
@settings_options
@accept_age_option
@output_options
def command(*, run_id: str | None, accept_age: bool, **given: Any) -> int:
    """Finish the newest unfinished run, or RUN, under its own id and with its recorded settings.

    Nothing that is settled is sent again; what may have been sent is looked at first. A run whose last write is older
    than policy.plan_max_age is refused.
    """
    settings = configured(**given)
    from reconcile.errors import SettingsError  # noqa: PLC0415 - keeps --help light
    from reconcile.store.reader import StateReader  # noqa: PLC0415

    reader = StateReader(settings.run_dir / "state.sqlite", acts=True)
    if run_id is not None and not reader.knows(run_id):
        raise SettingsError(f"there was no run {run_id}", hint="reconcile runs lists what there is")
    unfinished = [row for row in reader.runs() if row.command != "plan" and row.state not in _OVER]
    row = next((row for row in unfinished if run_id in {None, row.run_id}), None)
    if row is None:
        say('{"exit_code": 0, "headline": "Nothing to finish."}' if given["as_json"] else "Nothing to finish.")
        return 0
    from reconcile import pipeline  # noqa: PLC0415 - there may be nothing to finish
    from reconcile.cli.running import run_and_tell  # noqa: PLC0415
    from reconcile.run import Stage, as_recorded  # noqa: PLC0415

    recorded, options = as_recorded(reader.settings_of(row.run_id), settings)
    return run_and_tell(
        row.command,
        recorded,
        replace(options, accept_age=accept_age, max_age=settings.policy.plan_max_age),
        pipeline.resume,
        stage=Stage.read(row.state),
        given=given,
        again=row,
    )
