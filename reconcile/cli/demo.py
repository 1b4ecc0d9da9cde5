"""`reconcile demo`: the main job with nothing to set up."""

import secrets
from pathlib import Path
from typing import Any

import click

from reconcile.cli.ending import is_plain, say

__all__ = ["command", "sample_folder"]


@click.command("demo")
@click.option("--run-dir", default="reconcile-demo", show_default=True, help="Where the demo leaves its runs.")
@click.option("--quiet", "-q", is_flag=True, help="No progress.")
def command(*, run_dir: str, quiet: bool) -> int:
    """Run the main job against a local look-alike of CometChat, with sample users.

    Plans, applies, proves that a second plan is empty, and writes the report. Nothing leaves this machine.
    """
    import msgspec  # noqa: PLC0415 - keeps --help light

    from reconcile.cli.running import run_and_tell  # noqa: PLC0415
    from reconcile.config import environment  # noqa: PLC0415
    from reconcile.pipeline import apply, plan  # noqa: PLC0415
    from reconcile.run import Options  # noqa: PLC0415
    from reconcile.sandbox import running_sandbox  # noqa: PLC0415

    folder = sample_folder()
    with running_sandbox(app_id="demo") as sandbox:
        sandbox.load_roles(["premium", "moderator"])
        users = msgspec.json.Decoder().decode_lines((folder / "directory.jsonl").read_text("utf-8"))
        sandbox.load_users(users)
        # Its own folder: the state of a run directory is bound to one app, and each demo starts afresh.
        place = Path(run_dir) / secrets.token_hex(3)
        settings = _settings(folder, sandbox, place)
        say(f"A look-alike of CometChat with {len(users)} users listens on {sandbox.base_url}.")
        say(f"The export is {folder / 'users.csv'}.\n")

        def body(run: Any) -> Any:
            return apply(run, lambda _header, _left, _caution: True)

        rest: Any = {
            "given": {"as_json": False, "quiet": quiet},
            "environ": {**environment(), "COMETCHAT_API_KEY": sandbox.api_key, "COMETCHAT_API_KEY_FILE": ""},
        }
        code = run_and_tell("apply", settings, Options(yes=True), body, **rest)
        if code:
            return code
        say("\nAnd once more, to see that nothing is left to do:\n")
        code = run_and_tell("plan", settings, Options(check=True), plan, **rest)
        first = sorted(entry.name for entry in place.iterdir() if entry.is_dir() and not entry.is_symlink())[0]
        say(f"\nOpen the report in a browser: {place / first / 'report.html'}")
        return code


def sample_folder() -> Path:
    """Give the folder with the samples: beside the code where it is installed, at the top of a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "samples"
    return installed if installed.is_dir() else package.parent / "samples"


def _settings(folder: Path, sandbox: Any, place: Path) -> Any:
    from reconcile.config import Flags, load  # noqa: PLC0415
    from reconcile.logs import configure  # noqa: PLC0415

    configure(form="console", level="error", plain=is_plain())
    values = {("cometchat", "base_url"): sandbox.base_url, ("run", "dir"): str(place)}
    return load(Flags(config=str(folder / "reconcile.toml"), values=values), {})
