"""`reconcile report`: the report of a run again."""

from typing import Any

import click

from reconcile.cli.completing import run_ids
from reconcile.cli.ending import show
from reconcile.cli.options import settings_of, show_option

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
@show_option
def command(*, run_id: str, form: str, as_json: bool, show_changes: int | None, **given: Any) -> int:
    """Show the report of RUN (the newest run without one)."""
    settings = settings_of(**given)
    import msgspec  # noqa: PLC0415 - keeps --help light

    from reconcile.cli.running import tell  # noqa: PLC0415
    from reconcile.core.report import Report  # noqa: PLC0415
    from reconcile.errors import SettingsError  # noqa: PLC0415
    from reconcile.report import REPORT_FILES  # noqa: PLC0415
    from reconcile.store.artifacts import run_folder  # noqa: PLC0415

    form = "json" if as_json else form
    folder = run_folder(settings.run_dir, run_id)
    path = folder / REPORT_FILES["json" if form == "text" else form]
    if not path.is_file():
        raise SettingsError(f"there is no {path}", hint="reconcile runs lists what there is")
    if form == "text":
        shown = msgspec.json.decode(path.read_bytes(), type=Report)
        tell(shown, run_folder(settings.run_dir, shown.run_id), as_json=False, show_changes=show_changes)
    else:
        show(path.read_text("utf-8"))
    return 0
