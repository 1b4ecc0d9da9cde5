"""
What people would use instead, over the same data: `python -m benchmarks.others [--users N]`, from the root.

Owns the contenders, the check that they found the same, and the tables. Each runs in a process of its own that has
loaded its modules before the clock starts, and reads both sides from the same Parquet files, in which every value is
a text in normal form; libraries that are no dependency of reconcile are installed, at fixed versions, into
environments that are gone afterwards. The script that asks for each user runs against the sandbox. Needs Linux.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any

FIELDS = ("name", "avatar", "link", "role", "tags", "metadata.country", "metadata.logins")
# datacompy has a ceiling for polars and for pandas, so it gets an environment of its own.
PINS = {
    "datacompy": ("datacompy==1.1.0",),
    "diffsync": ("diffsync==2.2.3", "pyarrow==26.0.1"),
    "joins": ("polars==2.0.0", "duckdb==2.0.0"),
}
PER_MINUTE = 10_000  # requests: the app's limit that times are reckoned with
CHANGED = 0.08  # of the users, by `benchmarks.plan`
FIXED = 17  # roles, the first looks, the walk of the deactivated, and pages in flight behind the last one

Found = tuple[set[str], set[str], set[tuple[str, str]]]  # missing, unmanaged, and (uid, field) that differ


# The data


def write(folder: Path, count: int) -> str:
    """
    Write both sides; give what has to be found, as a digest.
    """
    import pyarrow as pa  # noqa: PLC0415 - not where a contender runs
    import pyarrow.parquet as pq  # noqa: PLC0415

    from benchmarks.plan import users  # noqa: PLC0415

    sides: tuple[list[dict[str, Any]], list[dict[str, Any]]] = ([], [])
    missing, unmanaged, differing = set[str](), set[str](), set[tuple[str, str]]()
    for pair in users(count):
        desired, actual = (None if user is None else _normal(user) for user in pair)
        for side, row in zip(sides, (desired, actual), strict=True):
            if row is not None:
                side.append(row)
        if desired is None or actual is None:
            (missing if actual is None else unmanaged).add((desired or actual or {})["uid"])
        else:
            differing |= {(desired["uid"], field) for field in FIELDS if desired[field] != actual[field]}
    schema = pa.schema([(name, pa.string()) for name in ("uid", *FIELDS)])
    for name, side in zip(("desired", "actual"), sides, strict=True):
        pq.write_table(pa.Table.from_pylist(side, schema), folder / f"{name}.parquet")
    return digest((missing, unmanaged, differing))


def _normal(user: dict[str, Any]) -> dict[str, Any]:
    metadata = user["metadata"]
    return {
        **{name: user[name] for name in ("uid", "name", "avatar", "link", "role")},
        "tags": json.dumps(sorted(user["tags"])) if user["tags"] else None,
        "metadata.country": json.dumps(metadata["country"]),
        "metadata.logins": str(metadata["logins"]),
    }


def digest(found: Found) -> str:
    """
    Sum up what was found, in whatever order.
    """
    missing, unmanaged, differing = found
    lines = [*(f"+ {uid}" for uid in missing), *(f"- {uid}" for uid in unmanaged), *map(" ".join, differing)]
    return sha256("\n".join(sorted(lines)).encode()).hexdigest()


# The contenders: what each imports comes before the clock, and what it gives is the same


def reconcile_() -> Callable[[Path], Found]:
    """
    Compare as `reconcile plan` does, in blocks of pages.
    """
    import pandas as pd  # noqa: PLC0415
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    from reconcile.core.actual import shown_column  # noqa: PLC0415
    from reconcile.core.diff import Comparison  # noqa: PLC0415
    from reconcile.core.frame import SOURCE_ROW, Desired  # noqa: PLC0415
    from reconcile.core.mapping import ColumnRule, Mapping, Template  # noqa: PLC0415

    rules = [ColumnRule(name, Template.of_column(name)) for name in ("uid", *FIELDS)]
    mapping = Mapping(rules[0], tuple(rules[1:]), {}, keep_empty=False)

    def frame(table: Any) -> Any:
        return table.to_pandas(types_mapper=pd.ArrowDtype)

    def run(folder: Path) -> Found:
        desired = pq.read_table(folder / "desired.parquet").combine_chunks()
        rows = pa.array(range(len(desired)), pa.int64())
        users = frame(desired.append_column(SOURCE_ROW, rows))
        comparison = Comparison(Desired(users, (), len(users), mapping))
        for batch in pq.ParquetFile(folder / "actual.parquet").iter_batches(32_000):
            block = pa.table(batch)
            for name in ("created_at", "updated_at", "deactivated_at"):
                block = block.append_column(name, pa.nulls(len(block), pa.int64()))
            for name in ("tags", "metadata"):
                block = block.append_column(shown_column(name), pa.array([True] * len(block)))
            comparison.see(block.append_column("deactivated", pa.array([False] * len(block))))
        comparison.settle_unseen()
        findings = comparison.close(whole=True)
        drifted = findings.drifted_rows
        differing = {
            (uid, name)
            for name in findings.fields
            for uid in drifted["uid"][drifted[f"differs {name}"].to_numpy(dtype=bool)]
        }
        return set(findings.missing_rows["uid"]), set(findings.unmanaged_rows["uid"]), differing

    return run


def polars() -> Callable[[Path], Found]:
    """
    Join outright, and compare column by column.
    """
    import polars as pl  # noqa: PLC0415 # type: ignore[import-not-found]

    def run(folder: Path) -> Found:
        desired, actual = (pl.scan_parquet(folder / f"{name}.parquet") for name in ("desired", "actual"))
        one_sided = (
            desired.select("uid").join(actual.select("uid"), on="uid", how="anti").collect()["uid"],
            actual.select("uid").join(desired.select("uid"), on="uid", how="anti").collect()["uid"],
        )
        flags = [pl.col(name).ne_missing(pl.col(f"{name} actual")).alias(f"differs {name}") for name in FIELDS]
        both = desired.join(actual, on="uid", how="inner", suffix=" actual").with_columns(flags)
        rows = both.filter(pl.any_horizontal([f"differs {name}" for name in FIELDS])).collect()
        differing = {(uid, name) for name in FIELDS for uid in rows.filter(pl.col(f"differs {name}"))["uid"]}
        return set(one_sided[0]), set(one_sided[1]), differing

    return run


def duckdb() -> Callable[[Path], Found]:
    """
    One full join in SQL.
    """
    import duckdb as db  # noqa: PLC0415 # type: ignore[import-not-found]

    flags = ", ".join(f'd."{name}" is distinct from a."{name}" as "{name}"' for name in FIELDS)
    some = " or ".join(f'd."{name}" is distinct from a."{name}"' for name in FIELDS)

    def run(folder: Path) -> Found:
        rows = db.sql(
            f"select d.uid, a.uid, {flags} from '{folder}/desired.parquet' d"  # noqa: S608 - ours
            f" full join '{folder}/actual.parquet' a on d.uid = a.uid where {some} or d.uid is null or a.uid is null"
        ).fetchall()
        return _sorted_out(rows)

    return run


def _sorted_out(rows: Any) -> Found:
    missing, unmanaged, differing = set[str](), set[str](), set[tuple[str, str]]()
    for uid, other, *flags in rows:
        if other is None:
            missing.add(uid)
        elif uid is None:
            unmanaged.add(other)
        else:
            differing |= {(uid, name) for name, differs in zip(FIELDS, flags, strict=True) if differs}
    return missing, unmanaged, differing


def pandas_merge() -> Callable[[Path], Found]:
    """
    Merge outright with the indicator, as most scripts do.
    """
    import pandas as pd  # noqa: PLC0415

    def run(folder: Path) -> Found:
        desired, actual = (pd.read_parquet(folder / f"{name}.parquet") for name in ("desired", "actual"))
        every = desired.merge(
            actual, on="uid", how="outer", suffixes=("", " actual"), indicator=True, validate="1:1"
        )
        both = every[every["_merge"] == "both"]
        differing = set()
        for name in FIELDS:
            one, other = both[name], both[f"{name} actual"]
            differs = (one != other) & ~(one.isna() & other.isna())
            differing |= {(uid, name) for uid in both["uid"][differs]}
        sides = (set(every["uid"][every["_merge"] == side]) for side in ("left_only", "right_only"))
        return (*sides, differing)  # type: ignore[return-value]

    return run


def dicts() -> Callable[[Path], Found]:
    """
    Two dictionaries and a loop.
    """
    import pyarrow.parquet as pq  # noqa: PLC0415

    def run(folder: Path) -> Found:
        desired, actual = (
            {row["uid"]: row for row in pq.read_table(folder / f"{name}.parquet").to_pylist()}
            for name in ("desired", "actual")
        )
        differing = {
            (uid, name)
            for uid, row in desired.items()
            if uid in actual
            for name in FIELDS
            if row[name] != actual[uid][name]
        }
        return desired.keys() - actual.keys(), actual.keys() - desired.keys(), differing

    return run


def datacompy() -> Callable[[Path], Found]:
    """
    Its comparison of two frames, and what it keeps of it.
    """
    import pandas as pd  # noqa: PLC0415
    from datacompy import PandasCompare  # noqa: PLC0415 # type: ignore[import-not-found]

    def run(folder: Path) -> Found:
        sides = (pd.read_parquet(folder / f"{name}.parquet") for name in ("desired", "actual"))
        compared = PandasCompare(*sides, join_columns="uid", cast_column_names_lower=False)
        rows = compared.intersect_rows
        differing = {(uid, name) for name in FIELDS for uid in rows["uid"][~rows[f"{name}_match"]]}
        return set(compared.df1_unq_rows["uid"]), set(compared.df2_unq_rows["uid"]), differing

    return run


def diffsync() -> Callable[[Path], Found]:
    """
    A model a user, two adapters, and their difference.
    """
    import pyarrow.parquet as pq  # noqa: PLC0415
    from diffsync import Adapter, DiffSyncModel  # noqa: PLC0415 # type: ignore[import-not-found]

    # Its models take no field name with a dot in it.
    names = {name: name.replace(".", "_") for name in FIELDS}
    body = {
        "_modelname": "user",
        "_identifiers": ("uid",),
        "_attributes": tuple(names.values()),
        "__annotations__": {"uid": str, **dict.fromkeys(names.values(), str | None)},
        **dict.fromkeys(names.values()),
    }
    model = type("User", (DiffSyncModel,), body)
    adapter = type("Users", (Adapter,), {"user": model, "top_level": ["user"]})

    def loaded(path: Path) -> Any:
        users = adapter()
        for row in pq.read_table(path).to_pylist():
            users.add(model(uid=row["uid"], **{own: row[name] for name, own in names.items()}))
        return users

    def run(folder: Path) -> Found:
        desired, actual = (loaded(folder / f"{name}.parquet") for name in ("desired", "actual"))
        rows = []
        for element in actual.diff_from(desired).get_children():
            if element.has_diffs():
                uid, found = element.keys["uid"], element.get_attrs_diffs()
                is_both = element.action == "update"
                flags = [is_both and own in found.get("+", {}) for own in names.values()]
                rows.append(
                    (
                        uid if element.action != "delete" else None,
                        uid if element.action != "create" else None,
                        *flags,
                    )
                )
        return _sorted_out(rows)

    return run


# Name, the environment that it runs in (ours where there is none), what it is, and the most users it is tried with.
CONTENDERS: dict[str, tuple[str, Callable[[], Callable[[Path], Found]], int]] = {
    "reconcile, the comparison": ("", reconcile_, 10**9),
    "polars 2.0.0, joins": ("joins", polars, 10**9),
    "duckdb 2.0.0, a full join": ("joins", duckdb, 10**9),
    "pandas, an outer merge": ("", pandas_merge, 10**9),
    "datacompy 1.1.0": ("datacompy", datacompy, 10**9),
    "Python dictionaries": ("", dicts, 10**9),
    "diffsync 2.2.3": ("diffsync", diffsync, 100_000),
}


def contend(name: str, folder: Path) -> None:
    """
    Run one contender here; print its seconds, CPU seconds, peak in MiB, and the digest of what it found.
    """
    from benchmarks.plan import peak_mib  # noqa: PLC0415 - as the contenders

    run = CONTENDERS[name][1]()
    began, cpu = perf_counter(), process_time()
    found = run(folder)
    seconds, cpu_s = perf_counter() - began, process_time() - cpu
    say(json.dumps([seconds, cpu_s, peak_mib(), digest(found)]))


def compare(folder: Path, environments: Path, count: int) -> None:
    """
    Let all contend, and print the table.
    """
    wanted = write(folder, count)
    say(f"\n{count:,} users a side.\n")
    say("| what | seconds | CPU s | times our CPU | peak, MiB | found |")
    say("|---|---|---|---|---|---|")
    ours = 0.0
    for name, (environment, _, most) in CONTENDERS.items():
        if count > most:
            say(f"| {name} | not run | | | | |")
            continue
        python = environments / environment / "bin" / "python" if environment else Path(sys.executable)
        script = [str(python), "-m", "benchmarks.others", "--contend", name, "--folder", str(folder)]
        done = subprocess.run(script, capture_output=True, text=True, check=False, env=_environment())  # noqa: S603
        if done.returncode:
            raise SystemExit(f"{name}: {done.stderr[-3000:]}")
        seconds, cpu_s, peak, found = json.loads(done.stdout.splitlines()[-1])
        ours = ours or cpu_s
        said = "the same" if found == wanted else "**something else**"
        say(f"| {name} | {seconds:.2f} | {cpu_s:.2f} | {cpu_s / ours:.1f} | {peak:,.0f} | {said} |")

    with TemporaryDirectory() as other:
        report, seconds, cpu_s, peak = _whole_plan(Path(other), count)
    found = (
        "the same" if report["drift"]["drifted"] + report["drift"]["missing"] == _changed(count) else "**less**"
    )
    say(
        f"| reconcile plan, whole: start, CSV, pages, plan, report | {seconds:.2f} | {cpu_s:.2f} | {cpu_s / ours:.1f} | {peak:,.0f} | {found} |"
    )


def _whole_plan(folder: Path, count: int) -> tuple[dict[str, Any], float, float, float]:
    from benchmarks import plan  # noqa: PLC0415

    plan.write(folder, plan.users(count))
    return plan.measure(folder, partitions=0)[:4]


def _changed(count: int) -> int:
    """
    Count the users that are missing or differ, by the rule of `benchmarks.plan`.
    """
    return sum(n % 100 < 8 for n in range(count))


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}


def install(environments: Path) -> None:
    """
    Make the environments that are not there yet, from the index that pip is told of.
    """
    for name, pins in PINS.items():
        place = environments / name
        if not place.exists():
            quiet = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)  # noqa: S603
            subprocess.run([str(place / "bin" / "python"), *quiet, *pins], check=True)  # noqa: S603


# The script that asks for each user


def naive(base_url: str, key: str, users: list[dict[str, Any]]) -> int:
    """
    Get each user, then create or update it, one after the other; give the number of requests.
    """
    import httpx  # noqa: PLC0415

    sent = 0
    with httpx.Client(base_url=base_url, headers={"apikey": key}) as client:
        for user in users:
            body = {name: value for name, value in user.items() if name not in {"createdAt", "updatedAt"}}
            there = client.get(f"/users/{user['uid']}")
            if there.status_code == httpx.codes.NOT_FOUND:
                client.post("/users", json=body).raise_for_status()
            else:
                there.raise_for_status()
                client.put(f"/users/{user['uid']}", json=body).raise_for_status()
            sent += 2
    return sent


def against_the_sandbox(folder: Path, count: int) -> None:
    """
    Bring the same users in step by both, twice each; print requests, writes and CPU.
    """
    from benchmarks.plan import users  # noqa: PLC0415
    from benchmarks.plan import write as write_export  # noqa: PLC0415
    from reconcile.sandbox.testing import running_sandbox  # noqa: PLC0415

    pairs = list(users(count))
    write_export(folder, iter(pairs))
    desired = [user for user, _ in pairs if user]
    say(f"\n{count:,} users a side against the sandbox.\n")
    say("| what | night | requests | writes | CPU s of the client |")
    say("|---|---|---|---|---|")
    for what in ("a script that asks for each user", "reconcile apply"):
        with running_sandbox(app_id="benchmark") as sandbox:
            sandbox.load_roles(["premium", "guest"])
            sandbox.load_users(actual for _, actual in pairs if actual)
            for night in ("first", "the next, quiet"):
                sandbox.clear_log()
                before = resource.getrusage(resource.RUSAGE_CHILDREN)
                if what == "reconcile apply":
                    _apply(folder, sandbox.base_url, sandbox.api_key)
                    after = resource.getrusage(resource.RUSAGE_CHILDREN)
                    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                else:
                    cpu_s = _in_a_thread(lambda: naive(sandbox.base_url, sandbox.api_key, desired))
                counted = sandbox.counters()
                say(f"| {what} | {night} | {counted.requests:,} | {counted.writes:,} | {cpu_s:.1f} |")


def _in_a_thread(work: Callable[[], object]) -> float:
    """
    Do some work; give the CPU seconds of its thread alone, as the sandbox runs in this process too.
    """
    from time import thread_time  # noqa: PLC0415

    spent: list[float] = []

    def timed() -> None:
        work()
        spent.append(thread_time())

    thread = threading.Thread(target=timed)
    thread.start()
    thread.join()
    return spent[0]


def _apply(folder: Path, base_url: str, key: str) -> None:
    environment = _environment() | {
        "COMETCHAT_BASE_URL": base_url,
        "COMETCHAT_APP_ID": "benchmark",
        "COMETCHAT_API_KEY": key,
        "XDG_STATE_HOME": str(folder / "state"),
    }
    rates = ["--set", f"limits.core_per_minute={10**6}", "--set", f"limits.standard_per_minute={10**6}"]
    command = [sys.executable, "-m", "reconcile", "apply", "--yes", "--quiet", *rates]
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)  # noqa: S603


def reckoned(counts: list[int]) -> Iterator[str]:
    """
    Give the rows of the table that is reckoned: requests, and minutes at the limit.

    A script sends 2 requests a user. The job sends one for each thousand users, twice where some are missing, the fixed
    few, and 2 for each change. The table above shows how near that is.
    """
    for count in counts:
        pages = -(-count // 1000) + 1
        nights = {
            "a script that asks for each user": (2 * count, 2 * count),
            "reconcile apply": (pages + FIXED, 2 * pages + FIXED + 2 * round(CHANGED * count)),
        }
        for what, (quiet, first) in nights.items():
            yield f"| {count:,} | {what} | {quiet:,} | {_minutes(quiet)} | {first:,} | {_minutes(first)} |"


def _minutes(requests: int) -> str:
    return f"{requests / PER_MINUTE:,.1f}"


def main() -> None:
    """
    Measure all, and print the tables.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--few", type=int, default=2_000, help="users of the script that asks for each")
    parser.add_argument(
        "--environments", type=Path, help="a folder that keeps what is installed for the next time"
    )
    parser.add_argument("--contend", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.contend:
        contend(asked.contend, asked.folder)
        return
    say(f"{os.cpu_count()} cores, Python {platform.python_version()}; load average {os.getloadavg()[0]:.1f}.")
    with ExitStack() as stack:
        environments = asked.environments or Path(stack.enter_context(TemporaryDirectory()))
        install(environments)
        for count in asked.users:
            compare(Path(stack.enter_context(TemporaryDirectory())), environments, count)
        against_the_sandbox(Path(stack.enter_context(TemporaryDirectory())), asked.few)
    say(f"\nReckoned, at {PER_MINUTE:,} requests a minute, of which {CHANGED:.0%} of the users need a change.\n")
    say("| users | what | requests of a quiet night | minutes | of a night with changes | minutes |")
    say("|---|---|---|---|---|---|")
    for row in reckoned([asked.few, *asked.users]):
        say(row)


def say(text: str) -> None:
    """
    Print at once.
    """
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
