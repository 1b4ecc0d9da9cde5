"""`reconcile report`: the report of a run again."""

from pathlib import Path
from typing import Any

import click

from reconcile.cli.completing import run_ids
from reconcile.cli.ending import show
from reconcile.cli.options import redact_option, settings_of, show_option

__all__ = ["command"]


@click.command("report")
@click.argument("run_id", metavar="[RUN]", default="latest", shell_complete=run_ids())
@click.option("--config", metavar="FILE", help="Settings file [default: reconcile.toml where there is one].")
@click.option("--run-dir", metavar="DIR", help="Where runs and state are kept [default: runs].")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "md", "html", "csv"]),
    default="text",
    show_default=True,
    help="What to print on stdout.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@redact_option
@show_option
def command(*, run_id: str, form: str, as_json: bool, redact: bool, show_changes: int | None, **given: Any) -> int:
    """Show the report of RUN (the newest run without one)."""
    settings = settings_of(**given)
    import msgspec  # noqa: PLC0415 - keeps --help light

    from reconcile.cli.running import tell  # noqa: PLC0415
    from reconcile.core.report import Report  # noqa: PLC0415
    from reconcile.errors import SettingsError, StateError  # noqa: PLC0415
    from reconcile.report import REPORT_FILES  # noqa: PLC0415
    from reconcile.store.artifacts import run_folder  # noqa: PLC0415

    form = "json" if as_json else form
    folder = run_folder(settings.run_dir, run_id)
    path = folder / REPORT_FILES["json" if form == "text" else form]
    if redact:
        return _hidden(settings.run_dir, folder.resolve().name, form, show_changes)
    if not path.is_file():
        raise SettingsError(f"there is no {path}", hint="reconcile runs lists what there is")
    if form != "text":
        show(path.read_text("utf-8"))
        return 0
    try:
        shown = msgspec.json.decode(path.read_bytes(), type=Report)
    except msgspec.DecodeError as error:
        raise StateError(
            f"the report of run {folder.name} cannot be read: {error}",
            hint="its other files are in the same folder; reconcile runs lists the other runs",
        ) from None
    if shown.redacted:
        return _hidden(settings.run_dir, shown.run_id, form, show_changes)
    tell(shown, run_folder(settings.run_dir, shown.run_id), as_json=False, show_changes=show_changes)
    return 0


def _hidden(run_dir: Path, run_id: str, form: str, show_changes: int | None) -> int:
    """Tell a run without its users, made anew from what the state file and the plan hold."""
    import secrets  # noqa: PLC0415

    from reconcile.cli.running import tell  # noqa: PLC0415
    from reconcile.core.redaction import Redactor  # noqa: PLC0415
    from reconcile.errors import SettingsError  # noqa: PLC0415
    from reconcile.report.files import printed, told_again  # noqa: PLC0415
    from reconcile.store.artifacts import RunFolder  # noqa: PLC0415
    from reconcile.store.reader import StateReader  # noqa: PLC0415

    state, folder = StateReader(run_dir / "state.sqlite"), RunFolder(run_dir, run_id)
    told = told_again(folder, state)
    if told is None:
        raise SettingsError(f"there is no report of run {run_id}", hint="reconcile runs lists what there is")
    # A state file that was never asked for its secret has none: then these hashes are of this report alone.
    redactor = Redactor(state.known_salt() or secrets.token_hex(16))
    if form == "text":
        tell(told.report, folder.path, as_json=False, redactor=redactor, show_changes=show_changes)
    else:
        show(printed(told.redacted(redactor), form).decode())
    return 0
