"""Promises about who let something pass: what is recorded, and as whom."""

import os
from dataclasses import asdict

from reconcile.core.waivers import Waiver, waived
from reconcile.report.words import waiver_words
from reconcile.run import Options, login_of


def test_the_system_user_is_named_with_its_number_and_who_called_sudo() -> None:
    """Also one that has no name, and an environment that is no name."""
    me = login_of(os.getuid(), {})

    assert me.endswith(f"(uid {os.getuid()})")
    assert login_of(os.getuid(), {"SUDO_USER": "anna\n"}) == f"{me}, by sudo from anna"
    assert login_of(4_000_000, {"USER": "root"}) == "no name (uid 4000000)"


def test_every_flag_that_lets_something_pass_is_recorded() -> None:
    """Each release by its class and number; a flag that was not given is not there."""
    options = Options(release={"clear": 3, "update": 9}, accept_source=True, yes=True, limit=5, require_state=True)

    assert waived(asdict(options)) == {
        ("accept_source", ""),
        ("release", "clear=3"),
        ("release", "update=9"),
        ("yes", ""),
    }
    assert waived(asdict(Options())) == frozenset()
    assert waived({"accept_something_new": True}) == {("accept_something_new", "")}


def test_the_waivers_of_one_person_are_one_sentence() -> None:
    """As flags, the way they were given."""
    by = [("yes", "", "anna"), ("release", "clear=3", "bob"), ("accept_age", "", "anna"), ("answered", "", "bob")]
    waivers = [Waiver(what, value, login, "2026-11-23T02:15:00+00:00") for what, value, login in by]

    assert waiver_words(waivers) == [
        "--yes, --accept-age by anna",
        "--release clear=3, yes at the question by bob",
    ]
