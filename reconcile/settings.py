"""
What a run is told to do: every setting with its default, as typed values.

How they come together from flags, environment and file is `reconcile.config`.
"""

import re
from datetime import timedelta
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from reconcile.addresses import masked, shown_address
from reconcile.core.guards import ChangeGuard, GuardClass
from reconcile.core.mapping import ColumnKind, ColumnRule, Mapping, Template, Transform
from reconcile.core.metadata import METADATA_PREFIX
from reconcile.core.plan import PlanPolicy
from reconcile.core.users import PROFILE_TEXT
from reconcile.core.watermark import Step
from reconcile.errors import SettingsError, SourceError

__all__ = ["MAPPABLE", "MOST_PARTITIONS", "Notify", "Secret", "Settings", "mapping_for", "rule_of", "seconds_of"]

# What is quoted or a comment is taken first, so that nothing is found in it; `::since` is a type.
_PARAMETER = re.compile(r"""('[^']*'|"[^"]*"|`[^`]*`|--[^\n]*|/\*.*?\*/)|(?<![:\w]):since\b""", re.DOTALL)

MOST_PARTITIONS = 500  # a file of each is open when the plan is written; most systems allow a process a thousand
# What of [source] says where an export is and how it is read, and not which rows are meant.
_HOW_IT_IS_READ = frozenset({"location", "delimiter", "encoding", "as_of", "timeout"})
MAPPABLE = ("uid", *PROFILE_TEXT, "role", "tags")


class Secret:
    """A value that shows itself to nobody who does not ask for it by name."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Give the value to the one place that sends it."""
        return self._value

    def __repr__(self) -> str:
        return "***"

    def __reduce__(self) -> Any:
        raise TypeError("a secret is not written anywhere")


class CometChat(msgspec.Struct, frozen=True):
    """Which app, and where it is."""

    app_id: str = ""
    region: Literal["us", "eu", "in", ""] = ""
    base_url: str = ""
    api_key_file: str = ""
    ca_file: str = ""

    @property
    def url(self) -> str:
        """The root that every path is appended to, without a slash at its end."""
        if self.base_url:
            return self.base_url.rstrip("/")
        return f"https://{self.app_id}.api-{self.region}.cometchat.io/v3"

    @property
    def host(self) -> str:
        """Host and port, as locks and plans name the API."""
        parts = urlsplit(self.url)
        return f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


class Since(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a database says what changed: a column that only grows with each change, and how it is asked by that."""

    column: str = ""
    query: str = ""
    overlap: str = "10m"
    full_every: str = "7d"

    @property
    def step(self) -> Step:
        """The overlap: a duration, or a number of the column's own unit. Raises: ValueError."""
        if re.fullmatch(r"\d+(\.\d+)?", self.overlap):
            return Decimal(self.overlap)
        return timedelta(seconds=seconds_of(self.overlap) or 0)

    @property
    def parts(self) -> tuple[str, ...]:
        """The query, cut at each `:since` that stands in no text, name or comment of it."""
        cuts = [match.span() for match in _PARAMETER.finditer(self.query) if match[1] is None]
        starts, ends = [0, *(end for _, end in cuts)], [*(start for start, _ in cuts), len(self.query)]
        return tuple(self.query[start:end] for start, end in zip(starts, ends, strict=True))


class Source(msgspec.Struct, frozen=True):
    """Where the desired state is read from."""

    location: str = ""
    query: str = ""
    table: str = ""
    delimiter: str = ""
    encoding: str = ""
    as_of: str = ""
    timeout: str = "10m"
    since: Since = Since()

    @property
    def is_database(self) -> bool:
        """Whether the location is a database URL."""
        return "://" in self.location

    @property
    def shown(self) -> str:
        """The location for people: nothing that might be a password, and no query string."""
        return shown_address(self.location)


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The long form of a mapping entry: one of `column`, `template` and `constant`, and how it is read."""

    column: str | None = None
    template: str | None = None
    constant: str | int | float | bool | None = None
    transform: tuple[Transform, ...] = ()
    separator: str = "|"
    type: Literal["text", "number", "boolean", "json"] = "text"

    def __post_init__(self) -> None:
        """Raises: ValueError where the text is given in no way or in two, or its template cannot be read."""
        if sum(part is not None for part in (self.column, self.template, self.constant)) != 1:
            raise ValueError("give one of column, template and constant")
        _ = self.made_of

    @property
    def made_of(self) -> Template:
        """How the text is put together."""
        if self.column is not None:
            return Template.of_column(self.column)
        if self.template is not None:
            return Template.read(self.template)
        fixed = self.constant
        return Template((str(fixed).lower() if isinstance(fixed, bool) else str(fixed),))


class Fields(msgspec.Struct, frozen=True):
    """The mapping as it was written; `is_given` is False where columns map by their own names."""

    columns: dict[str, Column] = {}
    is_given: bool = False


class Roles(msgspec.Struct, frozen=True):
    """Translation of role names, and whether missing roles may be created."""

    map: dict[str, str] = {}
    create_missing: bool = False


class Policy(msgspec.Struct, frozen=True):
    """What may be done about what is found."""

    empty: Literal["clear", "keep"] = "clear"
    newer: Literal["apply", "skip"] = "apply"
    unmanaged: Literal["report", "deactivate"] = "report"
    deactivated: Literal["report", "reactivate"] = "report"
    protect: tuple[str, ...] = ("app_system",)
    plan_max_age: str = "24h"
    protect_roles: tuple[str, ...] = ("@agentic",)
    unmanaged_scope: Literal["ours", "all"] = "ours"
    overwrite_hidden_metadata: bool = False

    @property
    def asks_scope(self) -> bool:
        """Whether unmanaged users are deactivated, and only those that are ours."""
        return self.unmanaged == "deactivate" and self.unmanaged_scope == "ours"

    @property
    def protected_roles(self) -> tuple[str, ...]:
        """The roles that protect their users, in lower case, as roles are compared."""
        return tuple(dict.fromkeys(role.strip().lower() for role in self.protect_roles))

    @property
    def for_plan(self) -> PlanPolicy:
        """The choices that the plan itself depends on."""
        return PlanPolicy(
            update_newer=self.newer == "apply",
            deactivate_unmanaged=self.unmanaged == "deactivate",
            reactivate=self.deactivated == "reactivate",
        )


class RowShare(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A number of source rows; more than both, and the source is refused."""

    percent: float = 5
    floor: int = 20


class Guards(msgspec.Struct, frozen=True):
    """The limits of each class of changes, and of the source."""

    create: ChangeGuard = ChangeGuard(50, 1000)
    update: ChangeGuard = ChangeGuard(30, 100)
    role_change: ChangeGuard = ChangeGuard(5, 20, 2000)
    clear: ChangeGuard = ChangeGuard(10, 50)
    deactivate: ChangeGuard = ChangeGuard(2, 10, 500)
    reactivate: ChangeGuard = ChangeGuard(50, 10, 500)
    min_rows: int = 1
    max_shrink_percent: float = 20
    max_quarantined: RowShare = RowShare()
    max_emptied: RowShare = RowShare(20)
    max_changed: RowShare = RowShare(50, 1000)
    sentinels: tuple[str, ...] = ()
    window: tuple[str, ...] = ("20h",)

    @property
    def changes(self) -> dict[GuardClass, ChangeGuard]:
        """The guards of changes by class; one of them has no setting, it holds whatever it measures."""
        return {kind: getattr(self, kind, ChangeGuard(0, 0, 0)) for kind in GuardClass}


class Limits(msgspec.Struct, frozen=True):
    """How much of the app's rate budget may be used. Rates in requests a minute; `share` is a fraction."""

    core_per_minute: int | Literal["auto"] = "auto"
    standard_per_minute: int | Literal["auto"] = "auto"
    share: float = 0.8
    concurrency: int | Literal["auto"] = "auto"
    deadline: str = "none"


class Run(msgspec.Struct, frozen=True):
    """What a run leaves behind, and where."""

    dir: str = "runs"
    keep: int = 30
    formats: tuple[Literal["html", "json", "csv", "md"], ...] = ("html", "json", "csv", "md")
    metrics: str = ""
    partitions: int = 0
    engine: Literal["processes", "dask", "inline"] = "processes"
    scheduler: str = ""
    store: str = ""


class Notify(msgspec.Struct, frozen=True):
    """Who is told how a run went. Each address is a secret: whoever has its path may write there."""

    ping: Secret | None = None
    ping_start: Secret | None = None
    ping_success: Secret | None = None
    ping_failure: Secret | None = None
    webhook: Secret | None = None
    apprise: tuple[Secret, ...] = ()
    when: Literal["changes", "always"] = "changes"

    @property
    def addresses(self) -> tuple[tuple[str, Secret], ...]:
        """Every address that is set, with its key."""
        named = (("apprise", address) for address in self.apprise)
        single = (
            (name, getattr(self, name)) for name in self.__struct_fields__ if name not in {"apprise", "when"}
        )
        return (*((name, address) for name, address in single if address is not None), *named)


class Settings(msgspec.Struct, frozen=True):
    """Everything that was said. Made by `reconcile.config.load`."""

    cometchat: CometChat = CometChat()
    source: Source = Source()
    fields: Fields = Fields()
    roles: Roles = Roles()
    policy: Policy = Policy()
    guards: Guards = Guards()
    limits: Limits = Limits()
    run: Run = Run()
    notify: Notify = Notify()
    file: str = ""

    def declared(self, mapping: Mapping) -> dict[str, str]:
        """Say in words, by key, how plans are made: the mapping, and what of source and policy bears on a plan."""
        return {f"fields.{name}": words for name, words in mapping.words.items()} | self.chosen

    @property
    def chosen(self) -> dict[str, str]:
        """
        Say in words, by key, what of policy and source bears on a plan; of the source as digests: a query may name users.

        Not the file's name: exports bear dates.
        """
        policy = msgspec.to_builtins(self.policy, str_keys=True)
        source = msgspec.to_builtins(self.source, str_keys=True)
        source["since.query"] = source.pop("since")["query"]
        return {
            **{f"policy.{name}": str(value) for name, value in policy.items() if name != "plan_max_age"},
            **{f"source.{name}": _digest(value) for name, value in source.items() if name not in _HOW_IT_IS_READ},
        }

    @property
    def creatable_roles(self) -> frozenset[str]:
        """The roles that may be created where the app lacks them."""
        return (
            frozenset(role.lower() for role in self.roles.map.values())
            if self.roles.create_missing
            else frozenset()
        )

    @property
    def run_dir(self) -> Path:
        """The run directory."""
        return Path(self.run.dir)

    def digests(self) -> dict[str, str]:
        """Sum up the sections that decide what is written: a saved plan is bound to them."""
        sections = {
            "source": msgspec.structs.replace(self.source, location=masked(self.source.location)),
            "fields": self.fields,
            "roles": self.roles,
            "policy": self.policy,
        }
        return {name: _digest(section) for name, section in sections.items()}


def _digest(value: object) -> str:
    return sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()[:16]


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds_of(text: str) -> float | None:
    """
    Read a duration such as `90s`, `15m`, `24h`, `2d`; `none` is None.

    Raises: ValueError for anything else.
    """
    if text == "none":
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", text.strip())
    if not found:
        raise ValueError(f"{text!r} is not a duration such as 90s, 15m, 24h or 2d")
    return float(found[1]) * _UNITS[found[2]]


def mapping_for(settings: Settings, columns: tuple[str, ...]) -> Mapping:
    """
    Make the mapping for a source with these columns.

    Without a `[fields]` table, a column that bears a CometChat field's name maps to it by itself, except
    `role`, which is always mapped by hand.
    Raises: SourceError where a mapped column is missing, SettingsError where no name is mapped.
    """
    mapped = dict(settings.fields.columns)
    if not settings.fields.is_given:
        own = [name for name in MAPPABLE if name in columns and name != "role"]
        mapped = {name: Column(name) for name in own} | mapped
    if "uid" not in mapped:
        raise SourceError(
            f"no column is mapped to uid; the source has: {', '.join(columns)}",
            hint="say which column is the key, for example --map uid=id",
        )
    if "name" not in mapped:
        raise SettingsError(
            "no column is mapped to name, and CometChat requires one to create a user",
            hint="say which column it is, for example --map name=full_name",
        )
    rules = tuple(rule_of(name, column) for name, column in mapped.items() if name != "uid")
    return Mapping(
        uid=rule_of("uid", mapped["uid"]),
        rules=rules,
        roles=settings.roles.map,
        keep_empty=settings.policy.empty == "keep",
    )


def rule_of(name: str, column: Column) -> ColumnRule:
    """Give the rule that a mapping entry stands for; as text it says what the field is made of."""
    kind = ColumnKind(column.type) if name.startswith(METADATA_PREFIX) else ColumnKind.TEXT
    special = {"role": ColumnKind.ROLE, "tags": ColumnKind.TAGS}
    return ColumnRule(name, column.made_of, special.get(name, kind), column.separator, column.transform)
