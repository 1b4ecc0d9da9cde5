"""
How the look-alike answers where nobody outside CometChat knows the answer.

Owns one switch for each open question about the service, with the answers that it may give. The class body is
the table: help text and documentation are made from it in `catalogue`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

__all__ = ["Ask", "Switches", "flip", "nearest"]


@dataclass(frozen=True, slots=True)
class Ask:
    """
    What a switch decides: the number of the question, how sure the default is, and the question itself.
    """

    number: str
    confidence: Literal["recorded", "documented", "inferred", "disputed", "unknown"]
    question: str


class Switches(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    One value for every open question; the defaults are the profile `observed`.
    """

    get_deactivated: Annotated[Literal["404", "200"], Ask("Q1", "disputed", "GET of a deactivated uid")] = "404"
    default_list: Annotated[
        Literal["active", "all"], Ask("Q2", "inferred", "users that the list shows without a flag")
    ] = "active"
    deactivated_flags: Annotated[
        Literal["honoured", "ignored"], Ask("Q2", "documented", "onlyDeactivated and withDeactivated in a list")
    ] = "honoured"
    create_over_deactivated: Annotated[
        Literal["conflict", "revive"], Ask("Q3", "inferred", "POST of a uid that a deactivated user has")
    ] = "conflict"
    conflict_code: Annotated[
        Literal["ERR_UID_ALREADY_EXISTS", "ERR_BAD_REQUEST"],
        Ask("Q4", "recorded", "error code of a taken uid"),
    ] = "ERR_UID_ALREADY_EXISTS"
    conflict_status: Annotated[Literal["400", "409"], Ask("Q4", "recorded", "status of a taken uid")] = "400"
    metadata_put: Annotated[
        Literal["replace", "merge"], Ask("Q5", "inferred", "metadata in PUT beside what the user has")
    ] = "replace"
    get_metadata: Annotated[Literal["shown", "hidden"], Ask("Q6", "unknown", "metadata in GET of one user")] = (
        "shown"
    )
    list_metadata: Annotated[Literal["shown", "hidden"], Ask("Q6", "documented", "metadata in the list")] = "shown"
    echo_metadata: Annotated[
        Literal["shown", "hidden"], Ask("Q6", "documented", "metadata in the answers to POST and PUT")
    ] = "shown"
    private_metadata: Annotated[
        Literal["shown", "hidden"], Ask("Q6", "unknown", "the key @private where metadata is shown")
    ] = "shown"
    empty_metadata: Annotated[
        Literal["dropped", "list", "object"],
        Ask("Q6", "inferred", "what is shown after metadata {} was sent"),
    ] = "dropped"
    empty_tags: Annotated[
        Literal["clear", "ignore", "reject"], Ask("Q7", "unknown", "tags: [] in POST and PUT")
    ] = "clear"
    get_tags: Annotated[Literal["shown", "hidden"], Ask("Q8", "unknown", "tags in GET of one user")] = "shown"
    list_tags: Annotated[
        Literal["on_request", "always", "never"],
        Ask("Q8", "documented", "tags in the list; on_request: withTags"),
    ] = "on_request"
    echo_tags: Annotated[
        Literal["shown", "hidden"], Ask("Q8", "recorded", "tags in the answers to POST and PUT")
    ] = "shown"
    tags_filter: Annotated[
        Literal["any", "all"], Ask("Q8", "unknown", "the tags parameter: users with any of them, or all")
    ] = "any"
    list_order: Annotated[
        Literal["newest", "oldest", "name", "presence"], Ask("Q9", "recorded", "order of the list")
    ] = "newest"
    per_page_over: Annotated[
        Literal["clamp", "reject"], Ask("Q10", "unknown", "perPage above 1,000 or below 1")
    ] = "clamp"
    page_zero: Annotated[
        Literal["first", "reject", "zero_based"],
        Ask("Q10", "disputed", "page=0; zero_based: page=1 is the second"),
    ] = "first"
    total: Annotated[
        Literal["on_request", "always"], Ask("Q10", "disputed", "total in the pagination; on_request: count")
    ] = "on_request"
    total_pages: Annotated[
        Literal["next", "true"], Ask("Q10", "documented", "total_pages; next: the current page, or one more")
    ] = "next"
    cursor: Annotated[
        Literal["meta", "top", "absent"], Ask("Q10", "disputed", "where the cursor of a list stands")
    ] = "meta"
    repeated_parameter: Annotated[
        Literal["last", "all"], Ask("Q10", "inferred", "a parameter that is given twice")
    ] = "last"
    flag_words: Annotated[
        Literal["1_and_true", "1_only"], Ask("Q10", "inferred", "what turns a flag of the list on")
    ] = "1_and_true"
    uids_filter: Annotated[
        Literal["ignored", "honoured"], Ask("Q10", "unknown", "the uids parameter of the list")
    ] = "ignored"
    past_end: Annotated[
        Literal["empty", "last_page"], Ask("Q11", "inferred", "a page past the end of the list")
    ] = "empty"
    unknown_role: Annotated[
        Literal["ERR_BAD_REQUEST", "ERR_ROLE_NOT_FOUND"],
        Ask("Q12", "recorded", "POST or PUT with a role that is not there: 400 with details.role, or 404"),
    ] = "ERR_BAD_REQUEST"
    role_case: Annotated[Literal["folded", "exact"], Ask("Q12", "unknown", "upper case in the role of a user")] = (
        "folded"
    )
    role_deleted: Annotated[
        Literal["kept", "default"], Ask("Q12", "unknown", "role of the users whose role was deleted")
    ] = "kept"
    rate_headers: Annotated[
        Literal["both", "hyphenated", "joined", "none"],
        Ask("Q13", "disputed", "hyphenated: X-Rate-Limit-Remaining; joined: X-RateLimit-Remaining"),
    ] = "both"
    rate_headers_on: Annotated[
        Literal["every", "429"], Ask("Q13", "disputed", "answers that carry rate headers")
    ] = "every"
    retry_after: Annotated[Literal["sent", "absent"], Ask("Q13", "documented", "Retry-After on 429")] = "sent"
    rate_window: Annotated[
        Literal["fixed", "sliding"], Ask("Q13", "unknown", "the minute that a limit holds for")
    ] = "fixed"
    bulk_group: Annotated[
        Literal["split", "core", "standard"],
        Ask("Q13", "unknown", "budget of DELETE and PUT /users; split: the first core, the second standard"),
    ] = "split"
    bulk_cost: Annotated[
        Literal["request", "uid"], Ask("Q13", "unknown", "what a bulk call of several uids costs")
    ] = "request"
    created_at_input: Annotated[
        Literal["ignored", "honoured"], Ask("Q14", "unknown", "createdAt in POST /users")
    ] = "ignored"
    create_status: Annotated[Literal["200", "201"], Ask("Q14", "recorded", "status of a created user")] = "200"
    bulk_over: Annotated[
        Literal["reject", "truncate", "accept"], Ask("Q15", "unknown", "more than 25 uids in a bulk call")
    ] = "reject"
    reactivate_answer: Annotated[
        Literal["lists", "map"], Ask("Q15", "recorded", "shape of the answer to PUT /users")
    ] = "lists"
    bulk_uid_case: Annotated[
        Literal["exact", "folded"], Ask("Q16", "inferred", "upper case in the uids of a bulk call")
    ] = "exact"
    bad_uid_code: Annotated[
        Literal["ERR_BAD_REQUEST", "ERR_INVALID_UID"],
        Ask("Q17", "unknown", "POST of a uid with illegal characters"),
    ] = "ERR_BAD_REQUEST"
    uid_underscore: Annotated[
        Literal["legal", "illegal"], Ask("Q17", "disputed", "an underscore in a new uid")
    ] = "legal"
    metadata_limit: Annotated[Literal["5_kb", "1600_characters"], Ask("Q18", "disputed", "size of metadata")] = (
        "5_kb"
    )
    length_unit: Annotated[
        Literal["characters", "utf16"], Ask("Q18", "disputed", "unit of the limits of names and tags")
    ] = "characters"
    body_over: Annotated[
        Literal["400", "413", "accept"], Ask("Q18", "unknown", "a POST or PUT body above 10 KB")
    ] = "400"
    empty_string: Annotated[
        Literal["reject", "ignore", "clear"], Ask("Q19", "unknown", '"" in an optional field')
    ] = "reject"
    null_value: Annotated[
        Literal["ignore", "clear", "reject"], Ask("Q19", "unknown", "null in an optional field")
    ] = "ignore"
    unset_other: Annotated[
        Literal["reject", "ignore", "clear"], Ask("Q20", "unknown", "unset of tags or statusMessage")
    ] = "reject"
    unset_and_set: Annotated[
        Literal["unset_wins", "set_wins"], Ask("Q20", "unknown", "a field sent and unset in one call")
    ] = "unset_wins"
    auth_only_create: Annotated[
        Literal["allowed", "refused"], Ask("Q21", "disputed", "POST /users with an authOnly key")
    ] = "allowed"
    empty_key_status: Annotated[Literal["401", "400"], Ask("Q22", "unknown", "status without a key")] = "401"
    unknown_key_status: Annotated[
        Literal["401", "404"], Ask("Q22", "recorded", "status of a key that nobody has")
    ] = "401"
    wrong_app_status: Annotated[
        Literal["401", "400", "404"], Ask("Q22", "unknown", "status of an appId header of another app")
    ] = "401"
    app_id_header: Annotated[
        Literal["optional", "required"], Ask("Q22", "inferred", "a request without an appId header")
    ] = "optional"
    import_existing: Annotated[
        Literal["error", "overwrite"], Ask("Q23", "disputed", "import of a uid that is taken")
    ] = "error"
    import_failure: Annotated[
        Literal["error_object", "flat", "aborts"],
        Ask("Q24", "unknown", "a failed entry of an import; aborts: 500, and the entries before it are in"),
    ] = "error_object"
    import_nesting: Annotated[
        Literal["once", "twice"], Ask("Q24", "documented", "how often data stands in an imported entry")
    ] = "once"
    import_over: Annotated[
        Literal["reject", "accept"], Ask("Q24", "unknown", "more than 50 entries in an import")
    ] = "reject"
    import_body_limit: Annotated[
        Literal["none", "10_kb"], Ask("Q24", "unknown", "size of the body of an import")
    ] = "none"
    put_deactivated: Annotated[Literal["404", "200"], Ask("Q25", "documented", "PUT of a deactivated uid")] = "404"
    same_put: Annotated[
        Literal["stamps", "keeps"], Ask("Q25", "inferred", "updatedAt after a PUT that changes nothing")
    ] = "stamps"
    soft_delete_twice: Annotated[
        Literal["already", "404"], Ask("Q26", "unknown", "DELETE of a uid that is deactivated")
    ] = "already"


def flip(switches: Switches, values: dict[str, str]) -> Switches:
    """
    Return the switches with these values changed.

    Raises: msgspec.ValidationError for a switch or a value that does not exist, with the nearest one.
    """
    for name, value in values.items():
        allowed = _VALUES.get(name)
        if allowed is None:
            raise msgspec.ValidationError(
                f"there is no switch {name!r}; the nearest is {nearest(name, _VALUES)!r}"
            )
        if value not in allowed:
            raise msgspec.ValidationError(
                f"the switch {name!r} takes {', '.join(allowed)}, not {value!r}; "
                f"the nearest is {nearest(value, allowed)!r}"
            )
    return msgspec.structs.replace(switches, **values)


def nearest(word: str, known: Iterable[str]) -> str:
    """
    Return the known word that looks most like this one.
    """
    return get_close_matches(str(word), known, n=1, cutoff=0.0)[0]


_VALUES: dict[str, tuple[str, ...]] = {
    name: get_args(get_args(hint)[0])
    for name, hint in get_type_hints(Switches, include_extras=True).items()
    if get_origin(hint) is Annotated
}
