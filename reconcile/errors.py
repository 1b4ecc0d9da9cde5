"""
Every expected way for a run to end early, and the exit code that tells it to the operator.

    ReconcileError             says what happened; .hint says what to do next
    |- SettingsError           flags, file, environment or state make no sense together (all problems at once)
    |- Declined                the operator said no at the prompt
    |- SourceError             the desired state cannot be read, or cannot be trusted
    |- ReviewNeeded            how plans are made has changed; a person has to see one first
    |- PlanError               not the plan that was reviewed, too old, or for another app
    |- RunLocked               another run is at work
    |- DirectoryError          CometChat answered in a way that ends something
    |  |- DirectoryBusy        attempts are spent; the same request may succeed later
    |  |- Unclear              a write left and nobody knows what became of it; a look settles it
    |  |- ChangeRejected       this one request is refused; the run goes on
    |  `- DirectoryStopped     nothing more can succeed: key, scope, app, plan, protocol
    |- StateError              this machine: an intent cannot be recorded, so its write does not happen; or no file can be opened
    |- EngineError             who compares the partitions of a large export cannot be had, or dies each time
    `- Interrupted             the operator or the system asked us to stop

Anything else that is raised is a bug and ends with exit code 1 and its traceback.
"""

from collections.abc import Iterable, Sequence
from enum import IntEnum

__all__ = [
    "ChangeRejected",
    "Declined",
    "DirectoryBusy",
    "DirectoryError",
    "DirectoryStopped",
    "EngineError",
    "ExitCode",
    "Interrupted",
    "NotDone",
    "PlanError",
    "ReconcileError",
    "ReviewNeeded",
    "RunLocked",
    "SettingsError",
    "SourceError",
    "StateError",
    "Unclear",
    "foremost",
]


class ExitCode(IntEnum):
    """What the process tells its caller; `meaning` is the line that `--help` prints."""

    meaning: str

    def __new__(cls, value: int, meaning: str) -> "ExitCode":
        """Keep the meaning beside the number, so that help, docs and code share one list."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    DONE = 0, "done: the plan is made (held or not), or every planned change is applied or already there"
    BUG = 1, "a bug in reconcile, or a report that does not add up"
    USAGE = 2, "usage, settings or state: every problem at once, each with its remedy; nothing was written"
    DRIFT = 3, "plan --check found a change to make; nothing was written"
    INCOMPLETE = (
        4,
        "finished, but some changes were rejected, skipped or failed, or some users are unknown or known to differ",
    )
    HELD = 5, "finished, but a guard held changes back, or a plan has to be reviewed first"
    SOURCE = 6, "the source cannot be read or trusted; nothing was written"
    UNREACHABLE = 7, "CometChat cannot be reached or refuses us; nothing was written"
    STOPPED = 8, "stopped after the first write; finish it with: reconcile resume"
    LOCKED = 9, "another run holds the lock; nothing was written"
    SIGINT = 130, "interrupted by Ctrl-C; finish it with: reconcile resume"
    SIGTERM = 143, "interrupted by SIGTERM; finish it with: reconcile resume"


_PRECEDENCE = (
    ExitCode.BUG,
    ExitCode.SIGINT,
    ExitCode.SIGTERM,
    ExitCode.STOPPED,
    # What ended the run before its first write: that it also held changes back is no news beside it.
    ExitCode.UNREACHABLE,
    ExitCode.USAGE,
    ExitCode.SOURCE,
    ExitCode.LOCKED,
    ExitCode.INCOMPLETE,
    ExitCode.HELD,
    ExitCode.DRIFT,
)


def foremost(codes: Iterable[ExitCode]) -> ExitCode:
    """
    Pick the one exit code to end with where several hold.

    Order: 1 > 130/143 > 8 > 7, 2, 6, 9 (of which a run has one at most) > 4 > 5 > 3; none at all is 0.
    """
    present = set(codes)
    return next((code for code in _PRECEDENCE if code in present), ExitCode.DONE)


class ReconcileError(Exception):
    """What happened, in one sentence; `hint` is the remedy and `exit_code` what the process ends with."""

    exit_code: ExitCode = ExitCode.BUG

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class SettingsError(ReconcileError):
    """Something outside the data is wrong; `problems` holds every (what, remedy) pair that was found."""

    exit_code = ExitCode.USAGE

    def __init__(self, problems: Sequence[tuple[str, str]] | str, *, hint: str = "") -> None:
        pairs = ((problems, hint),) if isinstance(problems, str) else tuple(problems)
        super().__init__("; ".join(what for what, _ in pairs), hint="; ".join(h for _, h in pairs if h))
        self.problems = pairs


class Declined(ReconcileError):
    """The prompt was answered with no."""

    exit_code = ExitCode.USAGE


class SourceError(ReconcileError):
    """The export cannot be read or must not be believed; nobody is changed because of it."""

    exit_code = ExitCode.SOURCE


class ReviewNeeded(ReconcileError):
    """The plan is made, and waits for somebody to look at it."""

    exit_code = ExitCode.HELD


class PlanError(ReconcileError):
    """A saved plan is refused."""

    exit_code = ExitCode.USAGE


class RunLocked(ReconcileError):
    """Another run of this run directory, or of this app by this user, is at work."""

    exit_code = ExitCode.LOCKED


class DirectoryError(ReconcileError):
    """
    CometChat's answer, reduced to what decides: `status` (None when none came) and `code`.

    The body never travels: it may repeat the key.
    """

    exit_code = ExitCode.UNREACHABLE

    def __init__(self, message: str, *, hint: str = "", status: int | None = None, code: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.code = code


class DirectoryBusy(DirectoryError):
    """Attempts are spent on something that another time may work."""


class Unclear(DirectoryError):
    """A write was sent and its fate is unknown."""


class ChangeRejected(DirectoryError):
    """This request is refused for good; `fields` names what the service complained about."""

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        status: int | None = None,
        code: str = "",
        fields: Sequence[str] = (),
    ) -> None:
        super().__init__(message, hint=hint, status=status, code=code)
        self.fields = tuple(fields)


class DirectoryStopped(DirectoryError):
    """No request of this run can succeed any more."""


class StateError(ReconcileError):
    """
    This machine does not give what a run needs: the state file, the run directory, or open files.

    Exit 2 before the first write of a run, and 8 after it.
    """

    exit_code = ExitCode.USAGE


class EngineError(ReconcileError):
    """The workers that compare partitions cannot be reached, or died each time that it was tried."""

    exit_code = ExitCode.USAGE


class NotDone(ReconcileError):
    """A run ended otherwise than it should; for callers who want that as an exception."""

    def __init__(self, message: str, *, hint: str, exit_code: ExitCode) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code


class Interrupted(ReconcileError):
    """Ctrl-C or SIGTERM."""

    def __init__(self, code: ExitCode) -> None:
        super().__init__(code.meaning, hint="reconcile resume")
        self.exit_code = code
