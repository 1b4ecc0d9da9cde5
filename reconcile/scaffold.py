"""
The text of a first settings file: every key with its default and what it does, and the mapping that is proposed.

Whatever comes from outside is escaped: in values as TOML has it, in comments so that it stays on its line.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path

import msgspec

from reconcile.errors import SettingsError
from reconcile.fields import Problems, read_fields
from reconcile.keys import expand
from reconcile.logs import safe
from reconcile.proposal import Proposal, Sample, propose, separated
from reconcile.settings import Column, Source
from reconcile.sources.sample import read_sample, tables_of

__all__ = ["Draft", "Wanted", "begin", "scaffold", "settle", "tables_in"]

_FIELDS = ("uid", "name", "avatar", "link", "statusMessage", "tags")
_METADATA = "metadata."
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_LONG = 30  # characters of an example
_SHOWN = 2  # examples of a column
_USERS = ("users", "user", "app_users", "accounts", "members", "customers", "people", "profiles")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was said: the source as it was written, the pairs of --map, and the app. None where it was not."""

    location: str | None = None
    query: str = ""
    table: str = ""
    delimiter: str = ""
    encoding: str = ""
    maps: tuple[str, ...] = ()
    app_id: str | None = None
    region: str | None = None
    shows_examples: bool = True


@dataclass(frozen=True, slots=True)
class Draft:
    """
    What is to stand in the file. `columns` is the mapping that holds, by managed field; what the `proposal` has
    beyond it becomes comments. Without a `sample` the export could not be read, and the mapping is an example.
    """

    source: Source
    app_id: str
    region: str
    columns: Mapping[str, Column] = field(default_factory=dict)
    proposal: Proposal = field(default_factory=Proposal)
    sample: Sample | None = None
    shows_examples: bool = True


def begin(wanted: Wanted, environ: Mapping[str, str]) -> Draft:
    """
    Look at the source and propose a mapping; what was said wins.

    Raises: SourceError when the source cannot be opened, SettingsError when what was said does not fit it.
    """
    problems: Problems = []
    maps = dict(read_fields(None, wanted.maps, problems).columns)
    written = Source(
        wanted.location or "users.csv",
        wanted.query,
        wanted.table,
        delimiter=wanted.delimiter,
        encoding=wanted.encoding,
    )
    source = msgspec.structs.replace(
        written, location=expand("source.location", written.location, environ, problems)
    )
    if problems:
        raise SettingsError(problems)
    app_id = wanted.app_id if wanted.app_id is not None else environ.get("COMETCHAT_APP_ID", "")
    region = wanted.region or environ.get("COMETCHAT_REGION") or "us"
    if wanted.location is None and not Path(written.location).exists():
        return Draft(written, app_id, region, maps, shows_examples=wanted.shows_examples)
    if source.is_database and not source.query and not source.table:
        table = _only(tables_of(source), source.shown)
        source, written = (msgspec.structs.replace(each, table=table) for each in (source, written))
    sample = read_sample(source)
    _see_columns(maps, sample, source.shown)
    proposal = propose(sample)
    written = msgspec.structs.replace(
        written, delimiter=written.delimiter or sample.delimiter, encoding=written.encoding or sample.encoding
    )
    said = {name: fitted(name, column, sample, proposal) for name, column in maps.items()}
    return Draft(written, app_id, region, proposal.fields | said, proposal, sample, wanted.shows_examples)


def tables_in(location: str, environ: Mapping[str, str]) -> tuple[tuple[str, ...], str]:
    """Give the tables of a database, and the one that looks like the users; none for a file. Raises: SourceError."""
    source = Source(expand("source.location", location, environ, []))
    tables = tables_of(source) if source.is_database else ()
    return tables, _likely(tables)


def fitted(name: str, column: Column, sample: Sample, proposal: Proposal) -> Column:
    """Give a column that somebody named what its values show: the separator of tags, the type of metadata."""
    if name == "tags":
        return separated(column.column or "", sample)
    known = {offered.column: offered for offered in proposal.metadata.values()}
    return known.get(column.column, column) if name.startswith(_METADATA) else column


def settle(draft: Draft, environ: Mapping[str, str], output: Path) -> tuple[Draft, str]:
    """
    Give the draft as it may stand in the file, and the variable that its location is taken from, where it is.

    A URL with a password becomes `${NAME}`: the variable that holds it already, else DATABASE_URL. A path is written
    relative to the file.
    """
    source = draft.source
    if source.is_database:
        from reconcile.sources.sql import bears_secret  # noqa: PLC0415 - SQLAlchemy only where it is asked for

        if not bears_secret(source):
            return draft, ""
        names = sorted(
            name for name, value in environ.items() if value == source.location and _BARE.fullmatch(name)
        )
        name = "DATABASE_URL" if "DATABASE_URL" in names or not names else names[0]
        return replace(draft, source=msgspec.structs.replace(source, location=f"${{{name}}}")), name
    if source.location == "-" or "${" in source.location or Path(source.location).is_absolute():
        return draft, ""
    beside = os.path.relpath(source.location, output.parent)
    return replace(draft, source=msgspec.structs.replace(source, location=beside)), ""


def _only(tables: tuple[str, ...], place: str) -> str:
    likely = tables[0] if len(tables) == 1 else _likely(tables)
    hint = 'say which one: --table NAME, or --query "select ..."'
    if not tables:
        raise SettingsError(f"{place} has no table that this account sees", hint=hint)
    if not likely:
        raise SettingsError(f"{place} has the tables {', '.join(tables)[:300]}", hint=hint)
    return likely


def _likely(tables: tuple[str, ...]) -> str:
    named = {table.rpartition(".")[2].lower(): table for table in reversed(tables)}
    return next((named[name] for name in _USERS if name in named), "")


def _see_columns(maps: Mapping[str, Column], sample: Sample, place: str) -> None:
    """See that the columns which somebody named are there. Raises: SettingsError."""
    lacking = [name for column in maps.values() for name in column.made_of.columns if name not in sample.columns]
    problems = []
    for name in lacking:
        near = get_close_matches(name, sample.columns, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sample.columns)[:200]}"
        problems.append((f"{place} has no column {name!r}, which --map names", hint))
    if problems:
        raise SettingsError(problems)


def scaffold(draft: Draft) -> str:
    """Write the settings file."""
    values = {
        "app_id": _quoted(draft.app_id),
        "region": _quoted(draft.region),
        "source": _source(draft.source),
        "fields": _fields(draft),
        "metadata": _metadata(draft),
        "roles": _roles(draft),
        "sentinel": _sentinel(draft),
    }
    # In one go: a value may well look like a place for another one.
    return re.sub(r"<([a-z_]+)>", lambda found: values.get(found[1], found[0]), _TEMPLATE)


def _source(source: Source) -> str:
    lines = [f"location = {_quoted(source.location)}"]
    if source.query:
        lines.append(f"query = {_quoted(source.query)}")
    elif source.table:
        lines.append(f"table = {_quoted(source.table)}")
    else:
        lines.append('# query = "select ..."   # or table = "users"; with a database URL')
    delimiter, encoding = source.delimiter, source.encoding
    lines.append(
        f"delimiter = {_quoted(delimiter)}"
        if delimiter
        else '# delimiter = ","          # guessed from the header'
    )
    usual = '# encoding = "utf-8"       # a byte-order mark says it, else UTF-8'
    lines.append(f"encoding = {_quoted(encoding)}" if encoding else usual)
    return "\n".join(lines)


def _fields(draft: Draft) -> str:
    if draft.sample is None:
        return 'uid = "id"\nname = "full_name"\n# avatar = "..."\n# role = "plan"\n# tags = { column = "tags", separator = "|" }'
    lines = [f"# The source has: {safe(', '.join(draft.sample.columns), 600)}"]
    # They name a value each, so they go where the examples go.
    lines += [f"# Look: {safe(note, 400)}" for note in draft.proposal.notes if draft.shows_examples]
    for name in _FIELDS:
        column = draft.columns.get(name)
        if column is not None:
            lines.append(_line(draft, name, column))
        elif name in {"uid", "name"}:
            lines.append(f'{name} = "SAY WHICH COLUMN"')
        else:
            lines.append(f'# {name} = "..."')
    lines.append(_role(draft))
    return "\n".join(lines)


def _role(draft: Draft) -> str:
    if "role" in draft.columns:
        return _line(draft, "role", draft.columns["role"])
    # Never on its own: a role decides what a user may do.
    return _line(draft, "# role", Column(draft.proposal.role)) if draft.proposal.role else '# role = "..."'


def _metadata(draft: Draft) -> str:
    mapped = {name: column for name, column in draft.columns.items() if name.startswith(_METADATA)}
    taken = {column.column for column in draft.columns.values()}
    offered = {key: column for key, column in draft.proposal.metadata.items() if column.column not in taken}
    lines = [
        f"{'' if mapped else '# '}[fields.metadata]        # metadata key = source column; other keys stay as they are"
    ]
    lines.append("# Other users of the app may be able to see metadata. Types: text, number, boolean, json.")
    if draft.sample is None:
        lines += ['# country = "country"', '# logins = { column = "n", type = "number" }']
    lines += [_line(draft, _bared(name.removeprefix(_METADATA)), column) for name, column in mapped.items()]
    lines += [_line(draft, f"# {_key(key)}", column) for key, column in offered.items()]
    lines.append('# address.city = "city"    # a value in an inner object')
    return "\n".join(lines) + "\n"


def _roles(draft: Draft) -> str:
    column = draft.columns.get("role", Column(draft.proposal.role or "plan")).column or ""
    seen = draft.proposal.examples.get(column, ()) if draft.shows_examples else ()
    pairs = [f"{_key(value)} = {_quoted(value.lower())}" for value in seen] or [
        'free = "default"',
        'pro = "premium"',
    ]
    return f"# map = {{ {', '.join(pairs)} }}"


def _sentinel(draft: Draft) -> str:
    column = draft.columns.get("uid", Column("")).column or ""
    seen = draft.proposal.examples.get(column, ()) if draft.shows_examples else ()
    return f", such as {safe(_quoted(seen[0]), 2 * _LONG)}" if seen else ""


def _line(draft: Draft, name: str, column: Column) -> str:
    """Write one entry, with what its column holds in the first rows."""
    entry = f"{name} = {_entry(name, column)}"
    seen = draft.proposal.examples.get(column.column or "", ())[:_SHOWN] if draft.shows_examples else ()
    return f"{entry:<26} # {', '.join(safe(text, _LONG) for text in seen)}" if seen else entry


def _entry(name: str, column: Column) -> str:
    parts = {"column": column.column, "template": column.template}
    texts = [f"{key} = {_quoted(text)}" for key, text in parts.items() if text is not None]
    if column.constant is not None:
        texts.append(f"constant = {_quoted(str(column.constant))}")
    if name == "tags":
        texts.append(f"separator = {_quoted(column.separator)}")
    if column.type != "text":
        texts.append(f"type = {_quoted(column.type)}")
    is_plain = len(texts) == 1 and column.column is not None
    return _quoted(column.column or "") if is_plain else f"{{ {', '.join(texts)} }}"


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _quoted(key)


def _bared(path: str) -> str:
    """Write a path of metadata keys as TOML has it; its keys with a dot are quoted already."""
    return ".".join(
        part if _BARE.fullmatch(part) or part.startswith('"') else _quoted(part) for part in _split(path)
    )


def _split(path: str) -> list[str]:
    return re.findall(r'"[^"]*"|[^."]+', path)


def _quoted(text: str) -> str:
    """Write a text as TOML has it: what does not print, and what turns the direction of writing, as its number."""
    return '"' + "".join(char if char.isprintable() else _number(char) for char in _escaped(text)) + '"'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _number(char: str) -> str:
    return f"\\u{ord(char):04x}" if ord(char) < 0x1_0000 else f"\\U{ord(char):08x}"


_TEMPLATE = """\
# Settings of reconcile. What is left out has the default that stands here behind the #.
# The API key never stands in this file: export COMETCHAT_API_KEY, or name a file with --api-key-file.

[cometchat]
app_id = <app_id>
region = <region>          # us, eu or in
# base_url = "http://127.0.0.1:8055/v3"   # the sandbox; plain http only to this machine

[source]
<source>
# as_of = "2026-01-31T02:00:00Z"   # when the export was true; default: the file's time
# timeout = "10m"          # a database read that takes longer is given up; "none": never
# since = { column = "updated_at", overlap = "10m", full_every = "7d" }   # for --since: what says when a row changed

[fields]                   # CometChat field = source column; only these are compared and written
# Also: { template = "{first} {last}" }, { constant = "x" }, and for ids that CometChat does not take:
# uid = { column = "email", transform = ["strip", "lower", "hash-suffix"] }
<fields>

<metadata>
[roles]
# A value that is not in it is used as it is.
<roles>
create_missing = false     # true: create roles that the map names and the app lacks

[policy]
empty = "clear"            # an empty cell: "clear" the field, or "keep" what is there
newer = "apply"            # users that changed in CometChat after the export: "apply" or "skip"
unmanaged = "report"       # active users that the source does not have: "report" or "deactivate"
unmanaged_scope = "ours"   # deactivate only users that our runs created or a good export once held; or "all"
deactivated = "report"     # or "reactivate" those that our own runs deactivated
protect = ["app_system"]   # uid patterns that are never written
protect_roles = ["@agentic"]   # users with one of these roles in CometChat are not written either
plan_max_age = "24h"       # of a plan, and of the last write of a run that is resumed
overwrite_hidden_metadata = false   # true: write metadata although that may erase what CometChat does not show

[guards]                   # a class is held when over both floor and percent of its base, or over max
create = { percent = 50, floor = 1000 }
update = { percent = 30, floor = 100 }
role_change = { percent = 5, floor = 20, max = 2000 }
clear = { percent = 10, floor = 50 }
deactivate = { percent = 2, floor = 10, max = 500 }
reactivate = { percent = 50, floor = 10, max = 500 }
min_rows = 1               # a source with fewer rows is refused
max_shrink_percent = 20    # so is one that is smaller than at the last good run by more
max_quarantined = { percent = 5, floor = 20 }   # and one with more rows than both that cannot be trusted
max_emptied = { percent = 20, floor = 20 }      # and one where a mapped column lost its values in more rows than both
max_changed = { percent = 50, floor = 1000 }    # and one that has more users than both otherwise than last time
sentinels = []             # and one that lacks one of these uids<sentinel>
window = ["20h"]           # the limits of classes hold over what was applied in this time, too; [] for each run alone

[limits]
core_per_minute = "auto"   # learnt from CometChat's answers
standard_per_minute = "auto"
share = 0.8                # of the app's budget; the rest stays free for the app's live users
concurrency = "auto"
deadline = "none"          # "2h": stop cleanly then

[run]
dir = "runs"
keep = 30
formats = ["html", "json", "csv", "md"]
metrics = ""               # a file for Prometheus' node exporter, such as "/var/lib/node_exporter/reconcile.prom"
partitions = 0             # in which a large export is compared; 0: the memory says when, and in how many
engine = "processes"       # what compares them: processes of this machine, "dask", or "inline": no other process
scheduler = ""             # of the Dask cluster, such as "tcp://10.0.0.5:8786"
store = ""                 # where the partitions are, by a URL that all workers see; else in the run's folder

[notify]                   # addresses are secrets: only ${NAME} may stand here, and NAME in the environment
# ping = "${PING_URL}"     # Healthchecks style: /start is added at the start, /fail where the exit code is not 0
# ping_start = "${...}"    # or one by one, for other monitors; also ping_success, ping_failure
# webhook = "${WEBHOOK_URL}"   # gets the run in short, as JSON
# apprise = ["${APPRISE_URL}"] # mail, chat and so on; needs: pip install apprise
when = "changes"           # the two above when a run ends otherwise than the one before; or "always"
"""
