"""
Named sets of switches.

Owns three readings of the service: what was most likely seen, what the vendor's pages say, and what asks most
of a client. A client is right when it is right under all three.
"""

from collections.abc import Mapping

from reconcile.sandbox.switches import Switches, nearest

__all__ = ["PROFILES", "profile"]


def profile(name: str) -> Switches:
    """
    Return the switches of a profile.

    Raises: ValueError for a profile that does not exist.
    """
    if name not in PROFILES:
        known = ", ".join(PROFILES)
        raise ValueError(f"there is no profile {name!r}, only {known}; the nearest is {nearest(name, PROFILES)!r}")
    return PROFILES[name]


# What the vendor's pages say, read to the letter, where that differs from what was seen.
_DOCUMENTED = Switches(
    get_metadata="hidden",
    get_tags="hidden",
    total="always",
    cursor="top",
    repeated_parameter="all",
    rate_headers="joined",
    rate_headers_on="429",
    uid_underscore="legal",
    metadata_limit="1600_characters",
    length_unit="utf16",
)

# The answers that ask most of a client, and still let it finish: a list without an end is a switch of its own.
_HOSTILE = Switches(
    get_deactivated="200",
    default_list="all",
    conflict_code="ERR_BAD_REQUEST",
    conflict_status="409",
    metadata_put="merge",
    get_metadata="hidden",
    echo_metadata="hidden",
    private_metadata="hidden",
    empty_metadata="list",
    empty_tags="ignore",
    get_tags="hidden",
    echo_tags="hidden",
    tags_filter="all",
    list_order="presence",
    per_page_over="reject",
    page_zero="reject",
    cursor="absent",
    flag_words="1_only",
    unknown_role="ERR_ROLE_NOT_FOUND",
    role_case="exact",
    role_deleted="default",
    rate_headers="none",
    retry_after="absent",
    rate_window="sliding",
    bulk_group="core",
    bulk_cost="uid",
    create_status="201",
    bulk_over="truncate",
    reactivate_answer="map",
    bad_uid_code="ERR_INVALID_UID",
    metadata_limit="1600_characters",
    length_unit="utf16",
    body_over="413",
    null_value="reject",
    auth_only_create="refused",
    empty_key_status="400",
    unknown_key_status="404",
    wrong_app_status="400",
    app_id_header="required",
    import_failure="flat",
    import_nesting="twice",
    soft_delete_twice="404",
)

PROFILES: Mapping[str, Switches] = {"observed": Switches(), "documented": _DOCUMENTED, "hostile": _HOSTILE}
