"""The text of a first settings file: every key with its default and what it does."""

from collections.abc import Mapping

from reconcile.settings import Source

__all__ = ["propose", "scaffold"]

# Column names that exports commonly have, best first.
_USUAL = {
    "uid": ("uid", "id", "user_id", "userid", "external_id"),
    "name": ("name", "full_name", "fullname", "display_name", "displayname", "username"),
    "avatar": ("avatar", "avatar_url", "image", "image_url", "photo", "photo_url", "picture"),
    "link": ("link", "profile_url", "url", "profile"),
    "statusMessage": ("statusmessage", "status_message", "mood"),
    "tags": ("tags", "labels", "groups"),
    "role": ("role", "plan", "tier", "type"),
}


def propose(columns: tuple[str, ...]) -> dict[str, str]:
    """Guess which column feeds which field, by the names alone."""
    lowered = {column.lower(): column for column in reversed(columns)}
    found: dict[str, str] = {}
    for field, names in _USUAL.items():
        column = next((lowered[name] for name in names if name in lowered), None)
        if column is not None and column not in found.values():
            found[field] = column
    return found


def scaffold(
    source: Source, app_id: str, region: str, mapping: Mapping[str, str], columns: tuple[str, ...]
) -> str:
    """Write the settings file. Without columns the mapping is an example."""
    values = {
        "app_id": _quoted(app_id),
        "region": _quoted(region),
        "location": _quoted(source.location),
        "query": f"query = {_quoted(source.query)}"
        if source.query
        else '# query = "select ..."   # with a database URL',
        "fields": _fields(mapping, columns),
    }
    text = _TEMPLATE
    for name, value in values.items():
        text = text.replace(f"<{name}>", value)
    return text


def _fields(mapping: Mapping[str, str], columns: tuple[str, ...]) -> str:
    wanted = dict(mapping) if columns else {"uid": "id", "name": "full_name"}
    lines = [f"# The source has: {', '.join(columns)}"] if columns else []
    for field in _USUAL:
        column = wanted.get(field)
        if field == "role":
            # Never on its own: a role decides what a user may do.
            lines.append(f"# role = {_quoted(column or 'plan')}")
        elif field == "tags" and column:
            lines.append(f'tags = {{ column = {_quoted(column)}, separator = "|" }}')
        elif column or field in {"uid", "name"}:
            lines.append(f"{field} = {_quoted(column or 'SAY WHICH COLUMN')}")
        else:
            lines.append(f'# {field} = "..."')
    return "\n".join(lines)


def _quoted(text: str) -> str:
    escaped = "".join(f"\\u{ord(c):04x}" if ord(c) < 32 or c == "\x7f" else c for c in text)
    return '"' + escaped.replace('"', '\\"') + '"' if "\\" not in text else f"'{text}'"


_TEMPLATE = """\
# Settings of reconcile. What is left out has the default that stands here behind the #.
# The API key never stands in this file: export COMETCHAT_API_KEY, or name a file with --api-key-file.

[cometchat]
app_id = <app_id>
region = <region>          # us, eu or in
# base_url = "http://127.0.0.1:8055/v3"   # the sandbox; plain http only to this machine

[source]
location = <location>
<query>
# delimiter = ","          # guessed from the header
# encoding = "utf-8"       # a byte-order mark says it, else UTF-8
# as_of = "2026-01-31T02:00:00Z"   # when the export was true; default: the file's time
# timeout = "10m"          # a database read that takes longer is given up; "none": never
# since = { column = "updated_at", overlap = "10m", full_every = "7d" }   # for --since: what says when a row changed

[fields]                   # CometChat field = source column; only these are compared and written
# Also: { template = "{first} {last}" }, { constant = "x" }, and for ids that CometChat does not take:
# uid = { column = "email", transform = ["strip", "lower", "hash-suffix"] }
<fields>

# [fields.metadata]        # metadata key = source column; other keys stay as they are
# country = "country"
# logins = { column = "n", type = "number" }   # text, number, boolean, json
# address.city = "city"    # a value in an inner object

[roles]
# map = { free = "default", pro = "premium" }  # a value that is not in it is used as it is
create_missing = false     # true: create roles that the map names and the app lacks

[policy]
empty = "clear"            # an empty cell: "clear" the field, or "keep" what is there
newer = "apply"            # users that changed in CometChat after the export: "apply" or "skip"
unmanaged = "report"       # active users that the source does not have: "report" or "deactivate"
deactivated = "report"     # or "reactivate" those that our own runs deactivated
protect = ["app_system"]   # uid patterns that are never written
plan_max_age = "24h"

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
sentinels = []             # and one that lacks one of these uids

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
"""
