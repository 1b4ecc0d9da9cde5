"""Whatever form an address has, nothing that might be its password is shown."""

import gzip
from pathlib import Path

import pytest

from reconcile.addresses import masked
from reconcile.sandbox.testing import Sandbox
from tests.conftest import Shell

SECRET = "S3cretValue99"
ADDRESSES = [
    "postgresql://corp/alice:{}@127.0.0.1:1/db",
    "postgresql://corp/{}@127.0.0.1:1/db",
    "postgresql://alice:{}/@x@127.0.0.1:1/db",
    "postgresql://al?ice:{}@127.0.0.1:1/db",
    "postgresql://al#ice:{}@127.0.0.1:1/db",
    "postgresql://:{}@127.0.0.1:1/db",
    "postgresql://127.0.0.1:1/db?user=a&password={}",
    "postgresql://alice:{}",
    "postgresql://alice:{}/db",
    "postgres//bob:{}@h/db",
    "postgres:/bob:{}@h/db",
    "postgres:bob:{}@h/db",
    "postgresql:bob:{}@h/db?x",
    "postgres//{}@h/db",
    "postgres//bob:{}/db",
    "postgres//h/db?password={}",
    "postgres;//bob:{}@h/db",
    "bob:{}@h/db",
    "corp/bob:{}@h",
    "mysql://root:{}@",
    "mysql://root:{}#x@127.0.0.1:99999/db",
    "oracle://scott/{}@127.0.0.1/db",
    "https://{}@127.0.0.1/users.csv",
    "s3://KEY:{}/x@bucket/users.csv",
    "host=h user=bob password={}",
    "Driver=x;Server=h;Uid=bob;Pwd={};",
]


@pytest.mark.parametrize("secret", [SECRET, "hunter", "p@ss:w/rd"])
@pytest.mark.parametrize("address", ADDRESSES)
def test_no_form_of_an_address_shows_its_password(address: str, secret: str) -> None:
    """It may be short, a plain word, or have the characters of a URL in it."""
    assert secret not in masked(address.format(secret))


@pytest.mark.parametrize(
    "address",
    [
        "users.csv", "data/2026:11/u@x.csv", "/data/u@x.csv", "C:\\data\\users.csv", "exports//users.csv", "-", "users-?.csv",
        "sqlite:///data/u@x.db", "postgresql://alice@h:5432/db", "postgresql://[::1]:5432/db", "s3://bucket/u@x.csv",
        "https://h:8443/users.csv", "mysql/users.csv", "file:///data/users.csv",
    ],
)  # fmt: skip
def test_an_address_without_a_password_stays_readable(address: str) -> None:
    """So that a report says what was read."""
    assert masked(address) == address


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://alice:x@h:5432/db?sslmode=require", "postgresql://alice:***@h:5432/db"),
        ("postgres//bob:x@h/db", "postgres//***@h/db"),
        ("postgresql://corp/alice:x@h/db", "postgresql://***@h/db"),
        ("bob:x@h/db", "***@h/db"),
    ],
)
def test_what_is_no_password_is_kept(address: str, shown: str) -> None:
    """User, host and database, where they can be told."""
    assert masked(address) == shown


def _everything(folder: Path) -> bytes:
    files = [file for file in folder.rglob("*") if file.is_file()]
    return b"".join(
        gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes() for file in files
    )


@pytest.mark.parametrize(
    ("address", "table"),
    [
        *((address.format(SECRET), "t") for address in ADDRESSES[:3] + ADDRESSES[9:13]),
        ("sqlite:///${MYSECRET}", "t"),
        ("postgresql://alice@127.0.0.1:1/${MYSECRET}", "t"),
        ("${MYSECRET}", ""),
    ],
)
def test_no_command_shows_a_password_of_an_address(
    shell: Shell, drifted: Sandbox, monkeypatch: pytest.MonkeyPatch, address: str, table: str
) -> None:
    """In no stream and in no file, also where it comes out of a variable."""
    monkeypatch.setenv("MYSECRET", SECRET)
    monkeypatch.setenv("RECONCILE_SOURCE__LOCATION", address)
    if table and "://" in address:
        monkeypatch.setenv("RECONCILE_SOURCE__TABLE", table)
    commands = [
        ("plan",),
        ("plan", "--json", "--verbose"),
        ("runs", "--json"),
        ("report",),
        ("doctor", "--json"),
        ("explain", "ada"),
    ]
    results = [shell(*argv) for argv in commands]

    assert results[0].code in {2, 6}
    assert SECRET not in "".join(result.out + result.err for result in results)
    assert SECRET.encode() not in _everything(shell.folder / "runs")
    assert drifted.counters().writes == 0
