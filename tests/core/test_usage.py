"""Promises about the meter of the rate budgets: every request is counted, in no more buckets than a page shows."""

from hypothesis import given
from hypothesis import strategies as st

from reconcile.core.pacing import RateGroup
from reconcile.core.usage import Meter, Usage

ALLOWED = {RateGroup.CORE: 400.0, RateGroup.STANDARD: 800.04}


def test_requests_are_counted_by_group_and_second() -> None:
    """From the first one on, whenever that was."""
    meter = Meter()
    for at_s, group in ((100.0, RateGroup.CORE), (100.9, RateGroup.STANDARD), (102.5, RateGroup.STANDARD)):
        meter.note(at_s, group)

    assert meter.usage(ALLOWED) == Usage(
        1.0, {"core": (1, 0, 0), "standard": (1, 0, 1)}, {"core": 400.0, "standard": 800.0}
    )


def test_where_nothing_left_there_is_nothing_to_show() -> None:
    """A run that ended before its first request."""
    assert Meter().usage(ALLOWED) is None


def test_a_long_run_has_wider_buckets() -> None:
    """Two minutes of seconds become a minute of two seconds, and so on."""
    meter = Meter()
    for second in range(121):
        meter.note(float(second), RateGroup.CORE)
    usage = meter.usage({})

    assert usage is not None
    assert usage.bucket_s == 2.0
    assert usage.sent["core"] == (2,) * 60 + (1,)


@given(st.lists(st.tuples(st.floats(0, 500_000), st.sampled_from(RateGroup)), min_size=1, max_size=50))
def test_no_request_is_lost(sent: list[tuple[float, RateGroup]]) -> None:
    """However long the run, and each stands where its time is."""
    meter = Meter()
    for at_s, group in sorted(sent):
        meter.note(at_s, group)
    usage = meter.usage({})

    assert usage is not None
    assert {group: sum(counts) for group, counts in usage.sent.items()} == {
        str(group): sum(1 for _, other in sent if other is group) for group in RateGroup
    }
    assert 1 <= len(usage.sent["core"]) == len(usage.sent["standard"]) <= 120
    last = max(at_s for at_s, _ in sent) - min(at_s for at_s, _ in sent)
    assert len(usage.sent["core"]) == int(last / usage.bucket_s) + 1
