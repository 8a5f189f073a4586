"""A PostgreSQL server that tests start, kill and restart; see :mod:`servers`."""

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from urllib.parse import quote

from servers import SECONDS_TO_START, SECONDS_TO_STOP, Server, ServerFailed, certificate, path_of

__all__ = ["PostgresServer", "PostgresStandby"]


class PostgresServer(Server):
    """A PostgreSQL server with one database, reached with a password at a port and at a socket.

    It runs as the system's user ``postgres`` where the tests run as root, which it refuses.
    ``settings`` are lines of its configuration: ``{"max_connections": "20"}``. Nothing is synced
    to the disk unless they say so: the tests kill processes, not the machine.
    """

    READY = "database system is ready to accept connections"
    TAKEN = ("could not create any TCP/IP sockets",)
    BUSY = "is still in use"  # by processes of the one that was killed, for a moment
    USER, PASSWORD, DATABASE = "penstock", "open@42/sesame:", "penstock"

    def __init__(self, *, settings=None, tls=False):
        self.tls = tls
        self.settings = {"fsync": "off", "full_page_writes": "off"} | (settings or {})
        self._numbers = itertools.count(1)
        super().__init__()

    def command(self):
        words = [
            *self._as_user(), self._program("postgres"), "-D", self.folder / "data",
            "-k", self.folder, "-h", "127.0.0.1", "-p", self.port,
        ]  # fmt: skip
        words += [
            word for name, value in self.settings.items() for word in ("-c", f"{name}={value}")
        ]
        return [*map(str, words)]

    def _as_user(self):
        if os.geteuid():
            return []
        return [path_of("setpriv"), "--reuid=postgres", "--regid=postgres", "--clear-groups"]

    def _program(self, name):
        """The newest of the system's, which Debian does not put on the path."""
        found = sorted(
            Path("/usr/lib/postgresql").glob(f"*/bin/{name}"),
            key=lambda path: int(path.parts[4]) if path.parts[4].isdecimal() else 0,
        )
        return str(found[-1]) if found else path_of(name)

    def _start_somewhere(self):
        self._make()
        super()._start_somewhere()
        self.sql(f"CREATE DATABASE {self.DATABASE}", database="postgres")

    def _make(self):
        secret = self.folder / "password"
        secret.write_text(self.PASSWORD)
        if not os.geteuid():
            for path in (self.folder, secret):
                shutil.chown(path, "postgres", "postgres")
        words = [
            *self._as_user(), self._program("initdb"), "-D", self.folder / "data", "--no-sync",
            "-U", self.USER, f"--pwfile={secret}", "--auth=scram-sha-256", "--encoding=UTF8",
            "--locale=C.UTF-8",
        ]  # fmt: skip
        done = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise ServerFailed(f"initdb: {done.stderr or done.stdout}")
        if self.tls:
            path, key = certificate(self.folder)
            if not os.geteuid():
                shutil.chown(key, "postgres", "postgres")
            self.settings |= {"ssl": "on", "ssl_cert_file": path, "ssl_key_file": key}

    def start(self):
        deadline = time.monotonic() + SECONDS_TO_START
        while True:
            try:
                return super().start()
            except ServerFailed as failure:
                if self.BUSY not in str(failure) or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)  # nothing tells when the last of them has gone

    def stop(self):
        """SIGINT: it ends its clients' sessions and shuts down."""
        self.resume()
        for program in self._programs:
            program.stop(signal.SIGINT, timeout=SECONDS_TO_STOP)

    def _signal(self, number):
        """To every process of it, for the one that listens only starts the others."""
        pids = [
            pid for program in self._programs if program.running for pid in _family(program.pid)
        ]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    # --- where it is ---------------------------------------------------------------------

    @property
    def port(self):
        return self.ports["port"]

    def url(self, *, schema=None, user=USER, password=PASSWORD, database=DATABASE):
        """``schema``: another than penstock's own; ``fresh()`` gives one that is new."""
        login = f"{user}:{quote(password, safe='')}"
        where = f"postgresql://{login}@127.0.0.1:{self.port}/{database}"
        return f"{where}?schema={schema}" if schema else where

    def unix_url(self):
        login = f"{self.USER}:{quote(self.PASSWORD, safe='')}"
        folder = quote(str(self.folder), safe="")
        return f"postgresql://{login}@/{self.DATABASE}?host={folder}&port={self.port}"

    def url_with(self, *others):
        """Of this server and others, whichever takes writes."""
        servers = (self, *others)
        login = f"{self.USER}:{quote(self.PASSWORD, safe='')}"
        hosts = ",".join("127.0.0.1" for _ in servers)
        ports = ",".join(str(server.port) for server in servers)
        where = f"host={hosts}&port={ports}&target_session_attrs=read-write"
        return f"postgresql://{login}@/{self.DATABASE}?{where}"

    def tls_url(self):
        """With the authority to check it by; the certificate is for ``localhost``."""
        authority = quote(str(self.folder / "server.crt"), safe="")
        where = self.url().replace("@127.0.0.1:", "@localhost:")
        return f"{where}?sslmode=verify-full&sslrootcert={authority}"

    def fresh(self):
        """The name of a schema that nobody has used."""
        return f"penstock_{next(self._numbers)}"

    # --- a disk that fills up ----------------------------------------------------------------

    def keep_tables_at(self, disk):
        """Have new tables there."""
        self.sql(f"CREATE TABLESPACE small LOCATION '{disk}'")
        self.sql(f"ALTER DATABASE {self.DATABASE} SET default_tablespace = small")

    def fill(self):
        """Write until nothing more goes."""
        from psycopg.errors import DiskFull

        self.sql("CREATE TABLE filler (data text)")
        self.sql("ALTER TABLE filler ALTER data SET STORAGE EXTERNAL")
        for size in (1 << 20, 1 << 13):
            with contextlib.suppress(DiskFull):
                while True:
                    self.sql("INSERT INTO filler SELECT repeat('x', %s)", size)

    def make_room(self):
        """Take that away again."""
        self.sql("DROP TABLE filler")

    # --- commands ------------------------------------------------------------------------

    def sql(self, text, *values, database=DATABASE):
        """Run SQL; gives the rows of its last statement, if there are any."""
        import psycopg

        with psycopg.connect(self.url(database=database), autocommit=True) as connection:
            cursor = connection.execute(text, values or None)
            return cursor.fetchall() if cursor.description else []


class PostgresStandby(PostgresServer):
    """Follows another server, and takes over when it is told to."""

    def __init__(self, primary):
        self.primary = primary
        super().__init__()

    def _start_somewhere(self):
        self._make()
        Server._start_somewhere(self)

    def start(self):
        Server.start(self, ready="database system is ready to accept read-only connections")

    def _make(self):
        if not os.geteuid():
            shutil.chown(self.folder, "postgres", "postgres")
        words = [
            *self._as_user(), self._program("pg_basebackup"), "-D", self.folder / "data", "-R",
            "-X", "stream", "-c", "fast", "--no-sync", "-d", self.primary.url(),
        ]  # fmt: skip
        done = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise ServerFailed(f"pg_basebackup: {done.stderr or done.stdout}")

    def promote(self):
        """Be the primary, once that is so."""
        self.sql("SELECT pg_promote(true, 20)")


def _family(pid):
    """The process, and all that it started."""
    found = [pid]
    for parent in found:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            children = Path(f"/proc/{parent}/task/{parent}/children").read_text()
            found += map(int, children.split())
    return found
