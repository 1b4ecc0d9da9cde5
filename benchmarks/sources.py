"""
How fast a source is read, and in how much memory: `python -m benchmarks.sources [--users N]`, from the root of the
repository, prints a table in Markdown.

Owns the rows, the servers and the table. Each source is read by reconcile's own reader in a process of its own, that
has loaded its modules before the clock starts. Reads /proc, so it needs Linux; the servers are those of the tests.
"""

import argparse
import csv
import gzip
import json
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

COLUMNS = ("id", "full_name", "avatar_url", "profile_url", "plan", "tags", "country", "score", "created")
CREATE = (
    "create table users (id bigint primary key, full_name varchar(100), avatar_url varchar(200), "
    "profile_url varchar(200), plan varchar(20), tags varchar(50), country char(2), score decimal(10, 2), "
    "created timestamp)"
)
MIB = 1 << 20

Row = tuple[str, ...]


def rows(count: int) -> Iterator[Row]:
    """
    Make the users: short texts, two addresses, a number and a time.
    """
    for n in range(1, count + 1):
        yield (
            str(n),
            f"Bird number {n}",
            f"https://img.example.com/birds/{n}.png",
            f"https://birds.example.com/{n}",
            "pro" if n % 7 == 0 else "free",
            "ringed|visitor",
            "NZ",
            f"{n / 100:.2f}",
            f"2026-01-{n % 28 + 1:02} {n % 24:02}:{n % 60:02}:00",
        )


def write_files(folder: Path, count: int) -> None:
    """
    Write the same rows in every format.
    """
    import pyarrow as pa  # noqa: PLC0415 - the measured process does not come through here
    import pyarrow.csv as pc  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    with (folder / "users.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(rows(count))
    with (folder / "users.csv").open("rb") as plain, gzip.open(folder / "users.csv.gz", "wb", 6) as packed:
        shutil.copyfileobj(plain, packed)
    types = pc.ConvertOptions(column_types={name: pa.string() for name in COLUMNS})
    pq.write_table(pc.read_csv(folder / "users.csv", convert_options=types), folder / "users.parquet")
    with (folder / "users.jsonl").open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(dict(zip(COLUMNS, row, strict=True))) + "\n" for row in rows(count))
    with closing(sqlite3.connect(folder / "users.db")) as connection:
        connection.execute(CREATE)
        connection.executemany(f"insert into users values ({', '.join('?' * len(COLUMNS))})", rows(count))  # noqa: S608
        connection.commit()


def read(location: str) -> None:
    """
    Read one source, and print seconds, CPU seconds, the bytes of the frame, and the peak above the start.
    """
    import reconcile.sources.files  # noqa: PLC0415
    import reconcile.sources.mysql  # noqa: PLC0415
    import reconcile.sources.postgresql  # noqa: PLC0415
    import reconcile.sources.sqlite  # noqa: PLC0415, F401
    from reconcile.config import Flags, load  # noqa: PLC0415
    from reconcile.settings import mapping_for  # noqa: PLC0415
    from reconcile.sources import read_export  # noqa: PLC0415

    is_database = "://" in location
    maps = ("uid=id", "name=full_name", "avatar=avatar_url", "link=profile_url", "role=plan", "tags=tags")
    metadata = tuple(f"metadata.{name}={name}" for name in ("country", "score", "created"))
    sets = ("source.table=users", "source.timeout=none") if is_database else ()
    values = {("source", "location"): location}
    settings = load(Flags(values=values, sets=sets, maps=maps + metadata), {})
    resident, start, cpu = memory("VmRSS"), perf_counter(), process_time()
    export = read_export(settings.source, lambda columns: mapping_for(settings, columns), 0)
    seconds, cpu = perf_counter() - start, process_time() - cpu
    frame = int(export.frame.memory_usage(index=False).sum())
    print(json.dumps([len(export.frame), seconds, cpu, frame, memory("VmHWM") - resident]))  # noqa: T201


def memory(name: str) -> int:
    """
    Read one number of bytes of this process.
    """
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def measure(location: str, count: int) -> list[float]:
    """
    Read a source in a process of its own.
    """
    command = [sys.executable, "-m", "benchmarks.sources", "--read", location]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - ourselves
    read_rows, *numbers = json.loads(done.stdout)
    if read_rows != count:
        raise SystemExit(f"{location}: {read_rows} rows of {count}")
    return [float(number) for number in numbers]


def files(folder: Path, count: int) -> Iterator[tuple[str, str]]:
    """
    Give each file by its name.
    """
    write_files(folder, count)
    for name, file in (
        ("CSV", "users.csv"),
        ("CSV, gzip", "users.csv.gz"),
        ("Parquet", "users.parquet"),
        ("JSON lines", "users.jsonl"),
    ):
        yield name, str(folder / file)
    yield "SQLite", f"sqlite:///{folder}/users.db"


def servers(count: int) -> Iterator[tuple[str, str]]:
    """
    Give each server by its name, for as long as it is measured.
    """
    from tests.databases import MariaDB, PostgreSQL, mariadb_is_installed  # noqa: PLC0415

    for name, kind, is_there in (("PostgreSQL", PostgreSQL, True), ("MariaDB", MariaDB, mariadb_is_installed())):
        if not is_there:
            continue
        server = kind()
        try:
            server.execute(CREATE)
            server.load("users", rows(count))
            yield name, server.url()
        finally:
            server.stop()


def main() -> None:
    """
    Measure every source, and print the table.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--servers", action="store_true", help="the servers alone")
    parser.add_argument("--read", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.read:
        read(asked.read)
        return
    head = f"{asked.users:,} users of {len(COLUMNS)} columns; {os.cpu_count()} cores, Python {platform.python_version()}"
    say(f"{head}; load average {os.getloadavg()[0]:.1f} at the start.\n")
    say(
        "| source | seconds | CPU s | times the first | frame, MiB | above the frame, MiB |\n|---|---|---|---|---|---|"
    )
    first: float | None = None
    with TemporaryDirectory() as folder:
        found = () if asked.servers else files(Path(folder), asked.users)
        for name, location in chain(found, servers(asked.users)):
            seconds, cpu, frame, added = measure(location, asked.users)
            first = first or cpu
            above = (added - frame) / MIB
            say(f"| {name} | {seconds:.1f} | {cpu:.1f} | {cpu / first:.1f} | {frame / MIB:.0f} | {above:.0f} |")
    say(f"\nAfterwards load average {os.getloadavg()[0]:.1f}.")


def say(text: str) -> None:
    """
    Print at once.
    """
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
