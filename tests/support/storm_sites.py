"""Where a storm rages: a broker with its server, a line to it that can be cut, and a last look."""

import contextlib
import time
from urllib.parse import quote

from postgres_server import PostgresServer
from proxy import BOTH, TO_CLIENT, TO_SERVER, Proxy
from rabbit_server import RabbitServer
from servers import RedisServer
from zookeeper_server import ZooKeeperServer

__all__ = ["SITES", "site"]


class Site:
    """A broker. What it has no server for cannot be killed."""

    name = ""
    custody = "lease"  # or "connection": what a lost connection held is handed out again at once
    atomic = True  # result and acknowledgement are one step
    backend = ""  # where results go, if not into the same
    server = proxy = None
    secrets = ()

    def __init__(self, folder):
        self.folder = folder
        self.url = ""

    def look(self):
        """What must hold when all is over: (check, ok, text)."""
        return ()

    def close(self):
        pass


class SqliteSite(Site):
    """A file: nothing to kill but those who write it."""

    name = "sqlite"

    def __init__(self, folder):
        super().__init__(folder)
        self.path = folder / "storm.db"
        self.url = f"sqlite:///{self.path}"

    def look(self):
        import apsw

        connection = apsw.Connection(str(self.path))
        with contextlib.closing(connection):
            text = connection.pragma("integrity_check")
        yield "integrity", text == "ok", str(text)
        log = self.path.with_name("storm.db-wal")
        size = log.stat().st_size if log.exists() else 0
        yield "the log stays bounded", size < 64 << 20, f"{size} bytes"


class ServerSite(Site):
    """A server of the run's own behind a proxy, on loopback."""

    def __init__(self, folder):
        super().__init__(folder)
        self.server = self.start()
        self.proxy = Proxy(self.server.port)
        self.url = self.url_by(self.proxy.port)

    def start(self):
        raise NotImplementedError

    def url_by(self, port):
        return self.server.url().replace(f":{self.server.port}/", f":{port}/")

    @property
    def secrets(self):
        return (self.server.PASSWORD, quote(self.server.PASSWORD, safe=""))

    def close(self):
        self.proxy.close()
        self.server.close()

    # --- what happens to the line --------------------------------------------------------------

    def cut(self, dice):
        """Do something to the line and take it back; gives what was done."""
        how = dice.choice(("reset", "end", "refuse", "stall", "drop reply", "bytes"))
        match how:
            case "reset" | "end":
                self.proxy.cut(reset=how == "reset")
            case "refuse":
                self.proxy.refuse()
                time.sleep(dice.uniform(0.05, 0.5))
            case "stall":
                self.proxy.stall(*dice.choice((BOTH, (TO_SERVER,), (TO_CLIENT,))))
                time.sleep(dice.uniform(0.05, 0.5))
            case "drop reply":
                self.proxy.drop_reply().wait(0.5)
            case "bytes":
                direction = dice.choice(BOTH)
                self.proxy.cut_after(dice.randrange(1, 3000), direction).wait(0.5)
        self.proxy.heal()
        return how


class RedisSite(ServerSite):
    """Redis, writing each command to disk before it answers."""

    name = "redis"

    def start(self):
        return RedisServer(appendonly=True, settings={"appendfsync": "always"})

    def look(self):
        yield "integrity", self.server.cli("PING") == "PONG", "the server answers"


class RabbitSite(ServerSite):
    """RabbitMQ, with the results in a file: two steps, and a connection that is the lease."""

    name = "rabbitmq"
    custody = "connection"
    atomic = False

    def __init__(self, folder):
        super().__init__(folder)
        self.backend = f"sqlite:///{folder / 'results.db'}"

    def start(self):
        # As docs/rabbitmq.md advises: what a kill cut off on its way from a delay is sent again.
        return RabbitServer(advanced={"dead_letter_worker_publisher_confirm_timeout": 5000})

    def look(self):
        yield "integrity", self.server.running, "the server runs"


class PostgresSite(ServerSite):
    """PostgreSQL: what is committed outlives the server's processes."""

    name = "postgres"

    def start(self):
        return PostgresServer()

    def look(self):
        ((tables,),) = self.server.sql("SELECT count(*) FROM pg_class WHERE relkind = 'r'")
        yield "integrity", tables > 0, f"{tables} tables"


class ZooKeeperSite(ServerSite):
    """ZooKeeper, with the results in a file: two steps. No password."""

    name = "zookeeper"
    atomic = False
    secrets = ()

    def __init__(self, folder):
        super().__init__(folder)
        self.backend = f"sqlite:///{folder / 'results.db'}"

    def start(self):
        return ZooKeeperServer()

    def url_by(self, port):
        return f"zookeeper://127.0.0.1:{port}/storm?session=6"

    def look(self):
        yield "integrity", bool(self.server.mode()), "the server serves"


SITES = {
    kind.name: kind for kind in (SqliteSite, RedisSite, PostgresSite, RabbitSite, ZooKeeperSite)
}


@contextlib.contextmanager
def site(name, folder):
    """The site of that name, closed at the end."""
    place = SITES[name](folder)
    try:
        yield place
    finally:
        place.close()
