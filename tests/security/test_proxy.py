"""S1: a proxy is shown, and what it is logged in to with is not."""

import pytest

from tests.conftest import Shell


@pytest.mark.parametrize("scheme", ["http://", "https://", ""])
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "all_proxy"])
def test_the_password_of_a_proxy_is_not_shown_with_or_without_a_scheme(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, scheme: str, name: str
) -> None:
    """Once it was, where no scheme stood before it."""
    monkeypatch.delenv("COMETCHAT_BASE_URL")
    monkeypatch.setenv("COMETCHAT_BASE_URL", "https://127.0.0.1:9/v3")
    monkeypatch.setenv(name, f"{scheme}finch:pw@secret1@127.0.0.1:9")
    result = shell("doctor", "--json", "--config", "reconcile.toml")
    told = next(finding for finding in result.json["findings"] if finding["what"] == "proxy")

    assert "127.0.0.1:9" in told["words"]
    assert "secret1" not in result.out + result.err
