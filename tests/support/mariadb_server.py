"""A MariaDB server that tests start, kill and restart; see :mod:`servers`."""

import contextlib
import os
import shutil
import subprocess
from urllib.parse import quote

from servers import Server, ServerFailed, certificate, path_of

__all__ = ["MariadbServer"]


class MariadbServer(Server):
    """A MariaDB server with one database, and an account that may do everything in it."""

    READY = "ready for connections"
    DATABASE = "shop"
    USER, PASSWORD = "joe", "open@42/sesame:"  # with what a URL must quote

    def __init__(self, *, tls=False):
        self.tls = tls
        self._room = ()
        super().__init__()

    def start(self):
        fresh = not (self.folder / "data").exists()
        if fresh:
            self._install()
        super().start()
        if fresh:
            self.sql(f"CREATE DATABASE {self.DATABASE}")
            self.account(self.USER, self.PASSWORD, f"ALL ON {self.DATABASE}.*")

    def _install(self):
        """The server's own tables. It runs as the system's user for it where this is root."""
        if os.getuid() == 0:
            shutil.chown(self.folder, "mysql")
        done = subprocess.run(
            [
                path_of("mariadb-install-db"), "--no-defaults", f"--datadir={self.folder}/data",
                "--auth-root-authentication-method=normal", "--skip-test-db", *self._user,
            ],
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
        if done.returncode:
            raise ServerFailed(f"mariadb-install-db: {done.stdout}{done.stderr}")

    @property
    def _user(self):
        return ("--user=mysql",) if os.getuid() == 0 else ()

    def command(self):
        return [
            path_of("mariadbd"), "--no-defaults", f"--datadir={self.folder}/data",
            f"--socket={self.folder}/socket", f"--port={self.port}", "--bind-address=127.0.0.1",
            "--innodb-buffer-pool-size=32M", "--innodb-log-file-size=16M", "--skip-log-bin",
            "--skip-name-resolve", *self._user, *self._with_tls(),
            *self._room,
        ]  # fmt: skip

    def _with_tls(self):
        if not self.tls:
            return ()
        path, key = certificate(self.folder)
        if os.getuid() == 0:
            shutil.chown(key, "mysql")
        return (f"--ssl-cert={path}", f"--ssl-key={key}")

    @property
    def port(self):
        return self.ports["port"]

    def url(self, database=DATABASE, *, user=USER, password=PASSWORD, scheme="db+mysql"):
        login = f"{user}:{quote(password, safe='')}"
        return f"{scheme}://{login}@127.0.0.1:{self.port}/{database}"

    def tls_url(self):
        """With the authority to check it by; the certificate is for ``localhost``."""
        authority = quote(str(self.folder / "server.crt"), safe="")
        return f"{self.url()}?ssl_ca={authority}".replace("@127.0.0.1:", "@localhost:")

    def sql(self, *statements, database=None):
        """Have the server's root run these; gives the rows of the last."""
        import pymysql

        where = {"unix_socket": f"{self.folder}/socket", "user": "root", "database": database}
        with pymysql.connect(**where, autocommit=True) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall()

    def account(self, user, password, *grants):
        """An account with these rights."""
        self.sql(f"CREATE OR REPLACE USER {user}@'%' IDENTIFIED BY '{password}'")
        for grant in grants:
            self.sql(f"GRANT {grant} TO {user}@'%'")

    # --- what stops its writes ---------------------------------------------------------------

    def have_no_room(self):
        """Restart with a store that does not grow, and write until it is full."""
        from pymysql.err import OperationalError

        self._room = ("--innodb-file-per-table=0", "--innodb-data-file-path=ibdata1:12M")
        self.restart()
        self.sql("CREATE TABLE filler (data LONGBLOB)", database=self.DATABASE)
        for size in (200_000, 10_000, 1_000):
            with contextlib.suppress(OperationalError):
                while True:
                    self.sql(
                        f"INSERT INTO filler VALUES (repeat('x', {size}))", database=self.DATABASE
                    )

    def make_room(self):
        """Restart with one that grows."""
        self._room = ()
        self.restart()

    def only_read(self, wish=True):
        """As a replica does."""
        self.sql(f"SET GLOBAL read_only = {int(wish)}")

    def empty(self):
        """Drop all tables of the database."""
        self.sql(f"DROP DATABASE IF EXISTS {self.DATABASE}", f"CREATE DATABASE {self.DATABASE}")
