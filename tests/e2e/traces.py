"""What a run left behind, in its files and in the log of the sandbox."""

import csv
import json
from collections import Counter

from reconcile.sandbox.testing import Sandbox
from tests.conftest import Shell

__all__ = ["creates_per_uid", "uids_with"]


def creates_per_uid(sandbox: Sandbox) -> Counter[str]:
    """How often each uid was created: the answer may have been lost, so what counts is that it was done."""
    return Counter(
        json.loads(entry.body)["uid"].lower()
        for entry in sandbox.log()
        if entry.endpoint == "POST /users" and entry.status in {200, 201}
    )


def uids_with(shell: Shell, outcome: str) -> set[str]:
    """The users of whom the newest run says that a change had this outcome."""
    with shell.latest("changes.csv").open(encoding="utf-8", newline="") as file:
        return {row["uid"] for row in csv.DictReader(file) if row["outcome"] == outcome}
