"""The flags that several commands share, and how they become settings."""

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from reconcile.cli.completing import files
from reconcile.cli.ending import is_plain

__all__ = [
    "accept_age_option",
    "configured",
    "output_options",
    "partition_options",
    "redact_option",
    "release_option",
    "release_pairs",
    "run_options",
    "see_released_early",
    "settings_of",
    "settings_options",
    "show_option",
    "since_option",
]

F = TypeVar("F", bound=Callable[..., Any])

_SETTINGS = (
    click.option(
        "--config",
        metavar="FILE",
        shell_complete=files,
        help="Settings file [default: reconcile.toml where there is one].",
    ),
    click.option(
        "--source",
        metavar="FILE|URL",
        shell_complete=files,
        help="The export: .csv .csv.gz .parquet .jsonl, - or a database URL.",
    ),
    click.option("--query", metavar="SQL", help="What to select, where the source is a database."),
    click.option(
        "--map", "maps", multiple=True, metavar="FIELD=COLUMN", help="Map a column, e.g. name=full_name."
    ),
    click.option(
        "--run-dir", metavar="DIR", shell_complete=files, help="Where runs and state are kept [default: runs]."
    ),
    click.option(
        "--api-key-file",
        metavar="FILE",
        shell_complete=files,
        help="File with the API key, instead of COMETCHAT_API_KEY.",
    ),
    click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="Any setting, e.g. policy.empty=keep."),
)
_OUTPUT = (
    click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, also on failure."),
    click.option("--quiet", "-q", is_flag=True, help="No progress, and only errors in the log."),
    click.option("--verbose", "-v", is_flag=True, help="More in the log."),
    click.option("--log-format", type=click.Choice(["console", "json"]), help="Default: console on a terminal."),
)
redact_option = click.option(
    "--redact", is_flag=True, help="Name no user in the reports: keyed hashes for uids, and no values."
)
_RUN = (
    click.option("--accept-source", is_flag=True, help="Believe this source once, whatever its guards say."),
    click.option("--expect-rows", type=click.IntRange(0), metavar="N", help="Refuse a source of another size."),
    click.option("--require-state", is_flag=True, help="Refuse to start without the state of earlier runs."),
    redact_option,
)


_PARTITIONS = (
    click.option(
        "--partitions",
        type=int,
        metavar="N",
        help="Compare in N partitions on disk [default: from the machine's memory].",
    ),
    click.option(
        "--engine", metavar="ENGINE", help="What compares them: processes, dask or inline [default: processes]."
    ),
    click.option("--scheduler", metavar="ADDRESS", help="Of the Dask cluster, e.g. tcp://127.0.0.1:8786."),
)


def _stack(options: tuple[Callable[[F], F], ...]) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


settings_options = _stack(_SETTINGS)
output_options = _stack(_OUTPUT)
run_options = _stack(_RUN)
partition_options = _stack(_PARTITIONS)
accept_age_option = click.option(
    "--accept-age", is_flag=True, help="Go on however old it is: policy.plan_max_age does not count, this once."
)
release_option = click.option(
    "--release", multiple=True, metavar="CLASS=N", help="Let a held class of at most N changes pass, this once."
)


since_option = click.option(
    "--since",
    is_flag=False,
    flag_value="",
    metavar="[VALUE]",
    help="Read only what changed: since the last run that left nobody out of step, or since VALUE.",
)


class _HowMany(click.ParamType[int]):
    """A number from 0 up, or `all`."""

    name = "N|all"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read it. Raises: click.BadParameter."""
        text = str(value)
        if text.isascii() and text.isdigit():
            return min(int(text), sys.maxsize)
        if text != "all":
            self.fail(f"{text!r} is neither a number nor all", param, ctx)
        return sys.maxsize


show_option = click.option(
    "--show", "show_changes", type=_HowMany(), help="Show so many changes of the plan [default: what has room]."
)


def configured(**given: Any) -> Any:
    """
    Set up the log, and bring the flags together with environment and file.

    Raises: SettingsError with every problem at once.
    """
    from reconcile.logs import configure  # noqa: PLC0415 - keeps --help light

    form = given.get("log_format") or ("console" if sys.stderr.isatty() else "json")
    # On a terminal the bar and the summary tell how it goes; a log that is kept wants the stages.
    usual = "warning" if form == "console" else "info"
    level = "error" if given.get("quiet") else "debug" if given.get("verbose") else usual
    configure(form=form, level=level, plain=is_plain())
    return settings_of(**given)


def settings_of(**given: Any) -> Any:
    """
    Bring the flags together with environment and file, for a command that has nothing to log.

    Raises: SettingsError with every problem at once.
    """
    from reconcile.config import Flags, environment, load  # noqa: PLC0415 - keeps --help light

    keys = {
        "source": ("source", "location"),
        "query": ("source", "query"),
        "run_dir": ("run", "dir"),
        "api_key_file": ("cometchat", "api_key_file"),
        "partitions": ("run", "partitions"),
        "engine": ("run", "engine"),
        "scheduler": ("run", "scheduler"),
    }
    values = {key: given[name] for name, key in keys.items() if given.get(name) is not None}
    flags = Flags(given.get("config"), values, tuple(given.get("sets") or ()), tuple(given.get("maps") or ()))
    return load(flags, environment())


def release_pairs(values: tuple[str, ...]) -> dict[str, int]:
    """Read the values of --release: CLASS=N. Raises: click.BadParameter."""
    pairs = {}
    for value in values:
        name, _, number = value.partition("=")
        if not number.isdigit():
            raise click.BadParameter(f"{value!r} is not of the form CLASS=N", param_hint="--release")
        pairs[name] = int(number)
    return pairs


def see_released_early(settings: Any, ceilings: dict[str, int]) -> None:
    """See that the classes released before there is a plan are such as may be. Raises: SettingsError."""
    from reconcile.core.review import premature  # noqa: PLC0415 - keeps --help light
    from reconcile.errors import SettingsError  # noqa: PLC0415

    problems = premature(ceilings, reactivates=settings.policy.for_plan.reactivate)
    if problems:
        raise SettingsError(problems)
