"""A variable whose name is nearly that of a setting is an error, and one that somebody else sets is none."""

import pytest

from reconcile.config import known_variables
from reconcile.sandbox.testing import Sandbox
from reconcile.variables import misspelt, unknown_variables
from tests.conftest import Shell

MISSPELT = {
    "RECONCILE_POLICY_PROTECT": "RECONCILE_POLICY__PROTECT",
    "RECONCILE_POLICY_EMPTY": "RECONCILE_POLICY__EMPTY",
    "RECONCILE_POLICYEMPTY": "RECONCILE_POLICY__EMPTY",
    "reconcile_policy__unmanaged": "RECONCILE_POLICY__UNMANAGED",
    "RECONCIL_POLICY__UNMANAGED": "RECONCILE_POLICY__UNMANAGED",
    "RECONCILE_POLCY_PROTCT": "RECONCILE_POLICY__PROTECT",
    "RECONCILE_GUARDS_DEACTIVATE_MAX": "RECONCILE_GUARDS__DEACTIVATE__MAX",
    "RECONCILE_FIELDS_NAME": "RECONCILE_FIELDS__NAME",
    "RECONCILE_FIELDS_METADATA_COUNTRY": "RECONCILE_FIELDS__METADATA__COUNTRY",
    "RECONCILE_CONFG": "RECONCILE_CONFIG",
    "COMETCHAT_APPID": "COMETCHAT_APP_ID",
    "COMETCHAT_API_KEYFILE": "COMETCHAT_API_KEY_FILE",
    "COMETCHAT_APIKEY": "COMETCHAT_API_KEY",
    "COMETCHAT_BASEURL": "COMETCHAT_BASE_URL",
}
SERVICES = [
    "RECONCILE",
    "RECONCILE_RUN",
    "RECONCILE_SOURCE",
    "RECONCILE_NOTIFY",
    "RECONCILE_LIMITS",
    "RECONCILE_POLICY",
    "COMETCHAT",
]
ENDINGS = ["SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_8080_TCP", "PORT_8080_TCP_PROTO", "PORT_8080_TCP_PORT",
           "PORT_8080_TCP_ADDR"]  # fmt: skip


@pytest.mark.parametrize("name", MISSPELT)
def test_a_misspelt_setting_is_an_error_with_the_right_name(
    shell: Shell, drifted: Sandbox, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Before, it was ignored without a word."""
    monkeypatch.setenv(name, "none-of-it")
    result = shell("plan")

    assert result.code == 2
    assert f"the variable {name} is no setting" in result.err
    assert f"did you mean {MISSPELT[name]}?" in result.err
    assert drifted.counters().requests == 0


def test_what_kubernetes_tells_of_a_service_is_no_error() -> None:
    """A service may be called reconcile, and other programs have variables of their own."""
    environ = {f"{service}_{ending}": "tcp://10.0.0.1:8080" for service in SERVICES for ending in ENDINGS}
    environ |= dict.fromkeys(
        ("COMETCHAT_AUTH_KEY", "COMETCHAT_WEBHOOK_SECRET", "RECONCILE", "RECONCILER_IMAGE", "PATH", "HOME"), "x"
    )

    assert list(misspelt(environ, known_variables())) == []
    assert unknown_variables(environ, known_variables()) == []


def test_every_setting_has_its_variable() -> None:
    """None of them is taken for another that is misspelt."""
    assert list(misspelt(dict.fromkeys(known_variables(), ""), known_variables())) == []


def test_a_variable_that_is_like_no_setting_is_logged(
    shell: Shell, drifted: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, by its name alone."""
    monkeypatch.setenv("RECONCILE_SHARE", "0.1")
    result = shell("plan")

    assert result.code == 0
    assert result.err.count("settings.unknown_variables") == 1
    assert "RECONCILE_SHARE" in result.err
    assert drifted.counters().writes == 0
