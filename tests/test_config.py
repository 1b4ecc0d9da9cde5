"""Promises about the settings: where they come from, which there are, and what is said of wrong ones."""

import copy
import json
import pickle
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from reconcile.config import Flags, load
from reconcile.errors import SettingsError
from reconcile.keys import api_key
from reconcile.objections import require_app, require_source
from reconcile.settings import CometChat, Secret, Settings, Since, Source, seconds_of

# Every key that there is, as the design writes them; what is not an example is its default.
EVERY_KEY = """
[cometchat]
app_id = "237900"
region = "us"
base_url = "http://127.0.0.1:8055/v3"

[source]
location = "users.csv"
query = "select 1"
table = "users"
delimiter = ";"
encoding = "utf-8"
as_of = "2026-11-23T02:00:00Z"
timeout = "10m"
since = { column = "updated_at", query = "select :since", overlap = "10m", full_every = "7d" }

[fields]
uid = "id"
name = "full_name"
avatar = "avatar_url"
link = "profile_url"
role = "plan"
tags = { column = "tags", separator = "|" }
statusMessage = "mood"

[fields.metadata]
country = "country"
logins = { column = "n", type = "number" }

[roles]
map = { free = "default", pro = "premium" }
create_missing = false

[policy]
empty = "clear"
newer = "apply"
unmanaged = "report"
deactivated = "report"
protect = ["app_system"]
plan_max_age = "24h"
protect_roles = ["@agentic"]
unmanaged_scope = "ours"

[guards]
create = { percent = 50, floor = 1000 }
update = { percent = 30, floor = 100 }
role_change = { percent = 5, floor = 20, max = 2000 }
clear = { percent = 10, floor = 50 }
deactivate = { percent = 2, floor = 10, max = 500 }
reactivate = { percent = 50, floor = 10, max = 500 }
min_rows = 1
max_shrink_percent = 20
max_quarantined = { percent = 5, floor = 20 }
sentinels = []

[limits]
core_per_minute = "auto"
standard_per_minute = "auto"
share = 0.8
concurrency = "auto"
deadline = "none"

[run]
dir = "runs"
keep = 30
formats = ["html", "json", "csv", "md"]
metrics = ""
partitions = 0
engine = "processes"
scheduler = ""
store = ""
"""
TREE = tomllib.loads(EVERY_KEY)
DEFAULTS = [(section, key) for section in ("policy", "guards", "limits", "run") for key in TREE[section]] + [
    ("roles", "create_missing")
]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def loaded(toml: str = "", *sets: str, env: Mapping[str, str] | None = None, **values: str) -> Settings:
    """Load settings from a file, an environment, and flags."""
    Path("reconcile.toml").write_text(toml, "utf-8")
    given = {
        ("source", "location") if name == "source" else ("run", "dir"): value for name, value in values.items()
    }
    return load(Flags(sets=sets, values=given), env or {})


def problems(toml: str = "", *sets: str, env: Mapping[str, str] | None = None) -> tuple[tuple[str, str], ...]:
    """Load settings that are wrong, and give what is said of them."""
    with pytest.raises(SettingsError) as refused:
        loaded(toml, *sets, env=env)
    return tuple(refused.value.problems)


def value_at(settings: Settings, section: str, key: str) -> Any:
    """Give one setting as plain data, without what is not set."""
    value = json.loads(msgspec.json.encode(getattr(getattr(settings, section), key)))
    return (
        {name: inner for name, inner in value.items() if inner is not None} if isinstance(value, dict) else value
    )


# Which there are


def test_every_key_of_the_design_is_known() -> None:
    """And read as what it is."""
    settings = loaded(EVERY_KEY)

    assert settings.cometchat.app_id == "237900"
    assert settings.source.as_of == "2026-11-23T02:00:00Z"
    assert settings.fields.columns["metadata.logins"].type == "number"
    assert settings.fields.columns["statusMessage"].column == "mood"
    assert settings.roles.map == {"free": "default", "pro": "premium"}


@pytest.mark.parametrize(("section", "key"), DEFAULTS)
def test_every_default_is_that_of_the_design(section: str, key: str) -> None:
    """What is left out is as if it were written so."""
    assert value_at(load(Flags(), {}), section, key) == TREE[section][key]


def test_there_is_no_key_that_the_design_does_not_know() -> None:
    """But for the files of key and certificates, the guard of emptied columns, the window of the limits, and who is told, which were added later."""
    settings = load(Flags(), {})
    known = {
        (section.name, key)
        for section in msgspec.structs.fields(Settings)
        if isinstance(getattr(settings, section.name), msgspec.Struct) and section.name != "fields"
        for key in getattr(settings, section.name).__struct_fields__
    }
    written = {(section, key) for section, table in TREE.items() if section != "fields" for key in table}

    added = {
        ("cometchat", "api_key_file"),
        ("cometchat", "ca_file"),
        ("guards", "max_emptied"),
        ("guards", "max_changed"),
        ("guards", "window"),
        ("policy", "overwrite_hidden_metadata"),
        *(("notify", key) for key in settings.notify.__struct_fields__),
    }

    assert known - written == added


@pytest.mark.parametrize(
    ("toml", "what", "suggestion"),
    [
        ("[polcy]\nempty = 'keep'", "section polcy", "policy"),
        ("[policy]\nemty = 'keep'", "policy.emty", "policy.empty"),
        ("[guards]\nupdates = { percent = 1, floor = 1 }", "guards.updates", "guards.update"),
        ("[guards]\nupdate = { persent = 1 }", "guards.update.persent", "guards.update.percent"),
        (
            "[guards]\nmax_quarantined = { flor = 1 }",
            "guards.max_quarantined.flor",
            "guards.max_quarantined.floor",
        ),
        ("[fields]\nnam = 'x'", "fields.nam", "fields.name"),
        ("[fields.metdata]\ncountry = 'x'", "fields.metdata", "fields.metadata"),
        ("[limits]\nconcurency = 5", "limits.concurency", "limits.concurrency"),
        ("[cometchat]\nappid = 'x'", "cometchat.appid", "cometchat.app_id"),
    ],
)
def test_an_unknown_key_is_an_error_with_a_suggestion(toml: str, what: str, suggestion: str) -> None:
    """At every depth."""
    ((words, remedy),) = problems(toml)

    assert f"unknown {'' if 'section' in what else 'setting '}{what}" == words
    assert suggestion in remedy


def test_a_key_in_the_file_is_refused_and_not_shown() -> None:
    """Secrets do not stand there."""
    ((words, remedy),) = problems("[cometchat]\napi_key = 'c0ffeec0ffee'")

    assert "cometchat.api_key" in words
    assert "c0ffee" not in words + remedy


def test_every_problem_is_told_at_once() -> None:
    """Each with its remedy."""
    toml = """
[cometchat]
app_id = "a b"
base_url = "http://example.com"
region = "mars"
[policy]
empty = "drop"
plan_max_age = "soon"
[limits]
share = 2
core_per_minute = -1
[guards]
create = { floor = "many" }
update = { percent = nan }
[fields]
nme = "x"
[run]
keep = 0
formats = ["pdf"]
[what]
"""
    found = problems(toml, "nonsense", "policy.newer=never", env={"RECONCILE_SOURCE__DELIMITER": "||"})
    words = " ".join(what for what, _ in found)

    for name in (
        "app_id", "base_url", "region", "policy.empty", "plan_max_age", "share", "core_per_minute", "guards.create",
        "guards.update", "fields.nme", "run.keep", "run.formats", "section what", "--set nonsense", "policy.newer",
        "source.delimiter",
    ):  # fmt: skip
        assert name in words
    assert all(remedy for _, remedy in found)


@pytest.mark.parametrize(
    ("toml", "words"),
    [("[policy", "not valid TOML"), ("a = 1\na = 2", "not valid TOML"), ("[[policy]]", "[policy] is not a table")],
)
def test_a_file_that_cannot_be_read_is_named(toml: str, words: str) -> None:
    """With the line, where there is one."""
    assert words in problems(toml)[0][0]


def test_a_file_that_is_not_there_is_named() -> None:
    """A typing error in --config is not the same as no file."""
    with pytest.raises(SettingsError) as refused:
        load(Flags(config="absent.toml"), {})

    assert "absent.toml" in refused.value.message


@pytest.mark.parametrize("number", ["nan", "inf", "-1"])
@pytest.mark.parametrize(
    "key", ["update.percent", "max_quarantined.percent", "max_shrink_percent", "create.percent", "clear.percent"]
)
def test_a_guard_that_no_number_can_pass_or_fail_is_refused(key: str, number: str) -> None:
    """Once it ended a run in the middle."""
    assert f"guards.{key}" in problems("", f"guards.{key}={number}")[0][0]


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("partitions = -1", "run.partitions is not a number"),
        ("partitions = 501", "run.partitions is not a number from 0 to 500"),
        ('engine = "spark"', "run.engine"),
        ('engine = "dask"', "run.engine dask goes with run.scheduler"),
        ('store = "/srv/partitions"', "run.store is not a URL"),
        ('store = "s3://bucket/x?secret=hunter2"', "run.store is not a URL"),
        ('store = "ftp://me:hunter2@example.com/x"', "run.store has a password in it"),
        ('store = "s3://me:hunter2/and+more@bucket/x"', "run.store has a password in it"),
        ('scheduler = "tcp://me:hunter2@example.com:1"', "run.scheduler has a password in it"),
    ],
)
def test_partitions_that_cannot_be_are_refused(toml: str, words: str) -> None:
    """With a remedy each, and without what nobody is to see."""
    ((what, remedy),) = problems(f"[run]\n{toml}")

    assert words in what
    assert remedy
    assert "hunter2" not in what


def test_a_store_with_an_account_in_its_name_has_no_password() -> None:
    """Containers of some clouds are written so."""
    assert loaded('[run]\nstore = "abfs://users@account.dfs.core.windows.net/x"').run.store.startswith("abfs://")


# Where they come from


def test_flag_beats_environment_beats_file_beats_default() -> None:
    """For one and the same setting."""
    toml, env = "[policy]\nempty = 'keep'\n[run]\nkeep = 3", {"RECONCILE_RUN__KEEP": "4"}
    default, file = loaded(), loaded(toml)
    environment, flag = loaded(toml, env=env), loaded(toml, "run.keep=5", env=env)

    assert [settings.run.keep for settings in (default, file, environment, flag)] == [30, 3, 4, 5]
    assert flag.policy.empty == "keep"


def test_a_flag_of_its_own_beats_the_environment() -> None:
    """--source as well as --set."""
    env = {"RECONCILE_SOURCE__LOCATION": "env.csv"}

    assert loaded("[source]\nlocation = 'file.csv'", env=env).source.location == "env.csv"
    assert loaded("[source]\nlocation = 'file.csv'", env=env, source="flag.csv").source.location == "flag.csv"


@pytest.mark.parametrize(("section", "key"), [(s, k) for s, table in TREE.items() if s != "fields" for k in table])
def test_every_key_has_a_variable_and_a_set(section: str, key: str) -> None:
    """And both are read as TOML, or as the text that they are."""
    value = TREE[section][key]
    text = value if isinstance(value, str) else _inline(value)
    name = f"RECONCILE_{section}__{key}".upper()

    assert value_at(loaded(env={name: text}), section, key) == value
    assert value_at(loaded("", f"{section}.{key}={text}"), section, key) == value


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {_inline(inner)}" for name, inner in value.items()) + "}"
    return json.dumps(value)


@pytest.mark.parametrize(
    ("name", "section", "key", "value"),
    [
        ("COMETCHAT_APP_ID", "cometchat", "app_id", "237900"),
        ("COMETCHAT_APP_ID", "cometchat", "app_id", "1e5"),
        ("COMETCHAT_REGION", "cometchat", "region", "eu"),
        ("COMETCHAT_BASE_URL", "cometchat", "base_url", "https://example.com/v3"),
        ("COMETCHAT_API_KEY_FILE", "cometchat", "api_key_file", "/run/secrets/key"),
    ],
)
def test_the_services_own_variables_beat_the_file(name: str, section: str, key: str, value: str) -> None:
    """As every variable does."""
    toml = f'[{section}]\n{key} = "us"'

    assert value_at(loaded(toml, env={name: value}), section, key) == value


@pytest.mark.parametrize(
    ("toml", "text", "overlap"),
    [("overlap = 600", "1e3", "600"), ('overlap = "1h"', "true", "1h"), ("full_every = '3d'", "moved", "10m")],
)
def test_an_inner_key_keeps_its_text_and_the_others_their_defaults(toml: str, text: str, overlap: str) -> None:
    """From the file, a variable and a flag at once."""
    column = {"RECONCILE_SOURCE__SINCE__COLUMN": text}
    since = loaded(f"[source.since]\n{toml}", "source.since.query=select :since", env=column).source.since

    assert (since.column, since.query, since.overlap) == (text, "select :since", overlap)


@pytest.mark.parametrize(
    ("query", "parts"),
    [
        ("a >= :since", ["a >= ", ""]),
        (":since <= a and b >= :since;", ["", " <= a and b >= ", ";"]),
        ("':since' \":since\" `:since` /* :since\n*/ -- :since\n :since", ["':since' \":since\" `:since` /* :since\n*/ -- :since\n ", ""]),
        ("x::since and :sinces and ':' || :since::text", ["x::since and :sinces and ':' || ", "::text"]),
        ("'it''s' || :since", ["'it''s' || ", ""]),
        ("select 1", ["select 1"]),
    ],
)  # fmt: skip
def test_the_parameter_is_found_where_it_is_one(query: str, parts: list[str]) -> None:
    """Not in a text, a quoted name, a comment or a type."""
    assert list(Since(column="a", query=query).parts) == parts


@pytest.mark.parametrize(
    "text", ["0012", "1e5", "true", "2026-11-23T02:15:00Z", "12:30:00", "[x]", "a=b", '"quoted"']
)
def test_a_text_is_a_text(text: str) -> None:
    """A table's name or a time that looks like something else stays what was typed, but for its quotes."""
    settings = loaded("", f"source.table={text}", env={"RECONCILE_SOURCE__AS_OF": text})

    assert settings.source.table == settings.source.as_of == text.strip('"')


def test_a_time_of_the_file_needs_no_quotes() -> None:
    """TOML has times of its own."""
    toml = "[source]\nas_of = 2026-11-23T02:15:00Z"

    assert loaded(toml).source.as_of == "2026-11-23T02:15:00+00:00"


def test_a_field_is_mapped_from_the_environment() -> None:
    """A variable's name has no case, and the field's has."""
    env = {"RECONCILE_FIELDS__STATUSMESSAGE": "mood", "RECONCILE_FIELDS__METADATA__COUNTRY": "land"}
    columns = loaded(env=env).fields.columns

    assert {name: column.column for name, column in columns.items()} == {
        "statusMessage": "mood",
        "metadata.country": "land",
    }


def test_a_map_on_the_command_line_beats_the_file() -> None:
    """Column by column."""
    Path("reconcile.toml").write_text("[fields]\nuid = 'id'\nname = 'full_name'")
    columns = load(Flags(maps=("name=nick", "metadata.country=land")), {}).fields.columns

    assert {name: column.column for name, column in columns.items()} == {
        "uid": "id",
        "name": "nick",
        "metadata.country": "land",
    }


@pytest.mark.parametrize("pair", ["name", "=x", "name=", "nme=x", "metadata.@private=x"])
def test_a_map_that_makes_no_sense_is_refused(pair: str) -> None:
    """With what it should look like."""
    with pytest.raises(SettingsError) as refused:
        load(Flags(maps=(pair,)), {})

    assert refused.value.hint


def test_the_file_may_be_named_by_variable_or_flag() -> None:
    """The flag counts."""
    for name in ("a", "b"):
        Path(f"{name}.toml").write_text(f"[run]\nkeep = {ord(name)}")

    assert load(Flags(), {"RECONCILE_CONFIG": "a.toml"}).run.keep == ord("a")
    assert load(Flags(config="b.toml"), {"RECONCILE_CONFIG": "a.toml"}).run.keep == ord("b")


# Paths


def test_paths_in_the_file_are_relative_to_the_file(tmp_path: Path) -> None:
    """Wherever a cron starts the job."""
    (tmp_path / "etc").mkdir()
    path = tmp_path / "etc" / "job.toml"
    path.write_text(
        "[source]\nlocation = 'users.csv'\n[cometchat]\napi_key_file = 'key'\nca_file = '/abs/ca.pem'\n[run]\ndir = '../r'"
    )
    settings = load(Flags(config=str(path)), {})

    assert settings.source.location == str(tmp_path / "etc" / "users.csv")
    assert settings.cometchat.api_key_file == str(tmp_path / "etc" / "key")
    assert settings.cometchat.ca_file == "/abs/ca.pem"
    assert settings.run_dir == tmp_path / "etc" / ".." / "r"


def test_the_default_run_dir_stands_beside_the_file(tmp_path: Path) -> None:
    """And without a file here."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "job.toml").write_text("")

    assert load(Flags(config="etc/job.toml"), {}).run_dir == Path("etc/runs")
    assert load(Flags(), {}).run_dir == Path("runs")


def test_paths_of_flags_and_variables_are_relative_to_here(tmp_path: Path) -> None:
    """As for every command."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "job.toml").write_text("[source]\nlocation = 'users.csv'")
    flags = Flags(config="etc/job.toml", values={("source", "location"): "other.csv"})

    assert load(flags, {"RECONCILE_RUN__DIR": "r"}).source.location == "other.csv"
    assert load(flags, {"RECONCILE_RUN__DIR": "r"}).run_dir == Path("r")


@pytest.mark.parametrize("location", ["-", "postgresql://db/app", "sqlite:///app.db"])
def test_what_is_no_path_is_left_as_it_is(location: str) -> None:
    """Standard input, and database URLs."""
    assert loaded(f"[source]\nlocation = '{location}'").source.location == location


# The source's URL


@pytest.mark.parametrize(("secret", "stands"), [("p@s/s", "p%40s%2Fs"), ("p%40s", "p%40s"), ("plain", "plain")])
def test_a_password_from_the_environment_is_quoted_where_a_url_would_be_cut(secret: str, stands: str) -> None:
    """And left alone where it is quoted already."""
    settings = loaded("[source]\nlocation = 'postgresql://app:${PW}@db/app'", env={"PW": secret})

    assert settings.source.location == f"postgresql://app:{stands}@db/app"


def test_a_location_that_is_nothing_but_a_variable_is_the_whole_url() -> None:
    """It is no path beside the file, wherever the file is."""
    Path("nest").mkdir()
    Path("nest/reconcile.toml").write_text("[source]\nlocation = '${DATABASE_URL}'", "utf-8")
    url = "postgresql://app:s%40cret@db/app"

    settings = load(Flags(config="nest/reconcile.toml"), {"DATABASE_URL": url})

    assert settings.source.location == url
    with pytest.raises(SettingsError, match="DATABASE_URL"):
        load(Flags(config="nest/reconcile.toml"), {})


@pytest.mark.parametrize("value", ["soon", "5", "-1s"])
def test_a_time_out_that_is_no_duration_is_refused(value: str) -> None:
    """By its name."""
    assert "source.timeout" in problems(f"[source]\ntimeout = '{value}'")[0][0]


def test_a_name_in_a_database_url_is_taken_from_the_environment() -> None:
    """So that the password does not stand in the file."""
    toml = "[source]\nlocation = 'postgresql://app:${DB_PASSWORD}@db/${DB_NAME}'"
    settings = loaded(toml, env={"DB_PASSWORD": "s3cret", "DB_NAME": "app"})

    assert settings.source.location == "postgresql://app:s3cret@db/app"
    assert settings.source.shown == "postgresql://app:***@db/${DB_NAME}"


def test_a_name_that_is_not_set_is_a_problem() -> None:
    """Each of them is named."""
    found = problems("[source]\nlocation = 'postgresql://${A}:${B}@db/x'")

    assert ["${A}" in found[0][0], "${B}" in found[1][0]] == [True, True]


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("users.csv", "users.csv"),
        ("postgresql://db/app", "postgresql://db/app"),
        ("postgresql://app@db/app", "postgresql://app@db/app"),
        ("postgresql://app:pw@db:5432/app", "postgresql://app:***@db:5432/app"),
        ("postgresql://app:pw@db/app?sslpassword=pw", "postgresql://app:***@db/app"),
        ("postgresql://app:p/w@db/app", "postgresql://app:***@db/app"),
        ("postgresql://app:p?w@db/app", "postgresql://app:***@db/app"),
        ("postgresql://app:p@w:x@db/app", "postgresql://app:***@db/app"),
        ("postgresql://:pw@db/app", "postgresql://:***@db/app"),
        ("postgresql://db/app?user=a@b&password=pw", "postgresql://db/app"),
        ("mysql://db?password=p@w", "mysql://db"),
        ("sqlite:////var/data@home/app.db", "sqlite:////var/data@home/app.db"),
    ],
)
def test_a_location_is_shown_without_password_and_query(location: str, shown: str) -> None:
    """Whatever characters the password has."""
    assert Source(location=location).shown == shown


# The API's address


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "https://example.com/v3",
        "https://example.com/v3/",
        "https://example.com:8443/v3",
        "HTTPS://example.com/v3",
        "https://127.0.0.1/v3",
        "https://[2001:db8::1]/v3",
        "http://127.0.0.1:8055/v3",
        "http://127.1.2.3/v3",
        "http://localhost:8055/v3",
        "http://LOCALHOST/v3",
        "http://[::1]:8055/v3",
        "HTTP://127.0.0.1/v3",
    ],
)  # fmt: skip
def test_an_address_that_protects_the_key_is_taken(url: str) -> None:
    """TLS, or this machine."""
    assert loaded("", f"cometchat.base_url={url}").cometchat.url == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/v3",
        "http://10.0.0.1/v3",
        "http://0.0.0.0/v3",
        "http://128.0.0.1/v3",
        "http://127.0.0.1.example.com/v3",
        "http://localhost.example.com/v3",
        "http://example.com/localhost",
        "http://127.1/v3",
        "http://2130706433/v3",
        "http://127.٠.٠.١/v3",
        "http://[::2]/v3",
        "http://[::ffff:10.0.0.1]/v3",
        "ftp://example.com/v3",
        "file:///etc/passwd",
        "example.com/v3",
        "//example.com/v3",
        "https://",
        "https:///v3",
        "https://user@example.com/v3",
        "https://user:pw@example.com/v3",
        "https://example.com@evil.example/v3",
        "https://@example.com/v3",
        "https://example.com/v3?x=1",
        "https://example.com/v3?",
        "https://example.com/v3#top",
        "https://example.com/v3#",
        "https://exa mple.com/v3",
        " https://example.com/v3",
        "https://example.com\\@evil.example/v3",
        "https://example.com\t/v3",
        "https://example.com:port/v3",
        "https://example.com:99999/v3",
        "https://[::1/v3",
        "javascript:alert(1)",
    ],
)
def test_an_address_that_does_not_is_refused(url: str) -> None:
    """Nothing is sent there to find out."""
    toml = f"[cometchat]\nbase_url = {json.dumps(url)}"

    assert "cometchat.base_url" in problems(toml)[0][0]


@pytest.mark.parametrize("app_id", ["a b", "a.b", "a/b", "a@b", "ä", "x.evil.example/", "a\n"])
def test_an_app_id_cannot_change_the_host(app_id: str) -> None:
    """It is a part of it."""
    assert "app_id" in problems(f"[cometchat]\napp_id = {json.dumps(app_id)}")[0][0]


def test_app_and_region_make_the_address() -> None:
    """As the vendor documents it."""
    app = loaded("[cometchat]\napp_id = '2379A'\nregion = 'eu'").cometchat

    assert app.url == "https://2379A.api-eu.cometchat.io/v3"
    assert app.host == "2379a.api-eu.cometchat.io:443"
    assert CometChat(base_url="http://127.0.0.1:8055/v3/").host == "127.0.0.1:8055"


# Guards and durations


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("percent = 7", (7, 20, 2000)),
        ("floor = 3", (5, 3, 2000)),
        ("max = 9", (5, 20, 9)),
        ("percent = 1, max = 2", (1, 20, 2)),
        ("", (5, 20, 2000)),
    ],
)
def test_a_guard_partly_given_keeps_its_other_numbers(given: str, expected: tuple[float, int, int]) -> None:
    """Who lowers one does not lift another."""
    guard = loaded(f"[guards]\nrole_change = {{ {given} }}").guards.role_change

    assert (guard.percent, guard.floor, guard.max) == expected


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("15m", 900), ("24h", 86_400), ("2d", 172_800), ("1.5h", 5400), (" 2h ", 7200), ("none", None)],
)
def test_a_duration_is_a_number_with_its_unit(text: str, seconds: float | None) -> None:
    """Or none."""
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "h", "2 weeks", "-1h", "1h30m", "2H", "None", "1e3s", "nans"])
def test_anything_else_is_no_duration(text: str) -> None:
    """A number alone says no unit."""
    with pytest.raises(ValueError, match="duration"):
        seconds_of(text)


# What is missing


def test_what_is_missing_for_the_app_is_said() -> None:
    """All of it."""
    assert len(require_app(loaded())) == 2
    assert require_app(loaded("[cometchat]\napp_id = 'a'\nregion = 'us'")) == []
    assert require_app(loaded("[cometchat]\napp_id = 'a'\nbase_url = 'https://x.example'")) == []


@pytest.mark.parametrize(
    ("toml", "count"),
    [
        ("", 1),
        ("[source]\nlocation = 'users.csv'", 0),
        ("[source]\nlocation = 'users.csv'\nquery = 'select 1'", 1),
        ("[source]\nlocation = 'sqlite:///app.db'", 1),
        ("[source]\nlocation = 'sqlite:///app.db'\ntable = 'users'", 0),
        ("[source]\nlocation = 'sqlite:///app.db'\nquery = 'select 1'", 0),
    ],
)
def test_what_is_missing_for_the_source_is_said(toml: str, count: int) -> None:
    """A query goes with a database, and a database with a query or a table."""
    assert len(require_source(loaded(toml))) == count


# The key


def key_of(env: Mapping[str, str], toml: str = "") -> str:
    """Give the key that is found."""
    return api_key(loaded(toml, env=env), env).reveal()


def test_the_key_is_looked_for_in_order(tmp_path: Path) -> None:
    """The named file, then the system's credential, then the environment."""
    (tmp_path / "named").write_text("from-file\n")
    (tmp_path / "apikey").write_text("from-credential")
    env = {"COMETCHAT_API_KEY": "from-environment"}
    credential = env | {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    named = credential | {"COMETCHAT_API_KEY_FILE": str(tmp_path / "named")}

    assert [key_of(source) for source in (env, credential, named)] == [
        "from-environment",
        "from-credential",
        "from-file",
    ]


def test_the_file_of_a_flag_beats_that_of_the_environment_and_this_that_of_the_file(tmp_path: Path) -> None:
    """As everywhere."""
    for name in ("flag", "env", "toml"):
        (tmp_path / name).write_text(name)
    toml = "[cometchat]\napi_key_file = 'toml'"
    env = {"COMETCHAT_API_KEY_FILE": "env"}
    Path("reconcile.toml").write_text(toml)
    flagged = load(Flags(values={("cometchat", "api_key_file"): "flag"}), env)

    assert api_key(flagged, env).reveal() == "flag"
    assert key_of(env, toml) == "env"
    assert key_of({}, toml) == "toml"


def test_no_key_is_said_with_where_it_goes() -> None:
    """An empty one is none."""
    for env in ({}, {"COMETCHAT_API_KEY": " \n"}):
        with pytest.raises(SettingsError) as refused:
            key_of(env)

        assert "COMETCHAT_API_KEY" in refused.value.hint


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"c0ffee beef", b"c0ffee\nbeef", b"\xff\xfe", "c0ffeé".encode(), b"c0\x00ff"]
)
def test_a_file_without_a_key_is_refused_and_not_shown(tmp_path: Path, content: bytes) -> None:
    """A key has no spaces and no accents."""
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(SettingsError) as refused:
        key_of({"COMETCHAT_API_KEY_FILE": str(tmp_path / "key")})

    assert "c0ff" not in refused.value.message


@pytest.mark.parametrize("name", ["absent", "."])
def test_a_key_file_that_cannot_be_read_is_named(name: str) -> None:
    """It does not fall back to another key."""
    with pytest.raises(SettingsError) as refused:
        key_of({"COMETCHAT_API_KEY_FILE": name, "COMETCHAT_API_KEY": "other"})

    assert f"key file {name}" in refused.value.message


# Secrets

SECRET = Secret("c0ffee")


def test_a_secret_shows_nothing() -> None:
    """In no way that a log, a traceback or a message would use."""
    shown = [
        repr(SECRET),
        str(SECRET),
        f"{SECRET}",
        f"{SECRET!r:>9}",
        "%s" % SECRET,  # noqa: UP031 - the form that old loggers use
        str([SECRET]),
        str({"k": SECRET}),
    ]

    assert not [text for text in shown if "c0ffee" in text]
    assert not hasattr(SECRET, "__dict__")
    assert SECRET.reveal() == "c0ffee"


@pytest.mark.parametrize(
    "write", [pickle.dumps, copy.deepcopy, json.dumps, msgspec.json.encode, msgspec.to_builtins]
)
def test_a_secret_is_not_written_anywhere(write: Any) -> None:
    """Not by accident."""
    with pytest.raises(TypeError):
        write(SECRET)


# What binds a plan


def test_a_plan_is_bound_to_every_setting_that_decides_what_is_written() -> None:
    """And to no other."""
    base = loaded(EVERY_KEY).digests()

    def moved(*sets: str) -> set[str]:
        return {name for name, digest in loaded(EVERY_KEY, *sets).digests().items() if digest != base[name]}

    assert moved("source.encoding=latin-1") == moved("source.delimiter=,") == moved("source.table=x") == {"source"}
    assert moved("fields.name=nick") == {"fields"}
    assert moved("roles.map.free=vip") == {"roles"}
    assert moved("policy.empty=keep") == {"policy"}
    assert moved("run.keep=5", "limits.share=0.1", "guards.min_rows=3") == set()


def test_a_new_password_does_not_unbind_a_plan() -> None:
    """The export is the same."""
    toml = "[source]\nlocation = 'postgresql://app:{}@db/x'\ntable = 'users'"

    assert loaded(toml.format("old")).digests() == loaded(toml.format("new")).digests()
