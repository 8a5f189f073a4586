"""A ZooKeeper server that tests start, kill and restart; see :mod:`servers`."""

import contextlib
import itertools
import socket
import time
from pathlib import Path

from servers import SECONDS_TO_START, Server, ServerFailed, absent, free_port, path_of

__all__ = ["ZooKeeperEnsemble", "ZooKeeperServer"]

JARS = "/usr/share/java"
LOGGING = """\
log4j.rootLogger=INFO, console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%p %m%n
"""


class ZooKeeperServer(Server):
    """A ZooKeeper server that takes nodes of ``largest`` bytes; nothing is synced to the disk.

    The tests kill processes, not the machine.
    """

    READY = "binding to port"

    def __init__(self, *, largest=4 * 1024 * 1024):
        self.largest = largest
        self._numbers = itertools.count(1)
        super().__init__()

    def command(self):
        (self.folder / "zoo.cfg").write_text(
            f"tickTime=250\ndataDir={self.folder}/data\nclientPort={self.port}\n"
            "clientPortAddress=127.0.0.1\nadmin.enableServer=false\nmaxClientCnxns=0\n"
            "minSessionTimeout=500\nmaxSessionTimeout=60000\n4lw.commands.whitelist=*\n"
            f"{self.peers()}"
        )
        (self.folder / "log4j.properties").write_text(LOGGING)
        jars = ("zookeeper", "slf4j-api", "slf4j-log4j12", "log4j-1.2")
        return [
            path_of("java"), "-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
            f"-Djute.maxbuffer={self.largest}", "-Dzookeeper.forceSync=no",
            "-cp", ":".join([str(self.folder), *(f"{JARS}/{name}.jar" for name in jars)]),
            "org.apache.zookeeper.server.quorum.QuorumPeerMain", str(self.folder / "zoo.cfg"),
        ]  # fmt: skip

    def peers(self):
        """What its configuration says of other servers."""
        return ""

    def start(self):
        if not Path(f"{JARS}/zookeeper.jar").exists():
            absent("zookeeper is not installed: tests/support/system_packages.sh installs it")
        super().start()
        self.serves()

    def serves(self):
        """Return once it does: it listens before. Raises ServerFailed."""
        deadline = time.monotonic() + SECONDS_TO_START
        while not self.mode():
            if time.monotonic() > deadline:
                raise ServerFailed(f"ZooKeeper does not serve:\n{self.log}")
            time.sleep(0.02)

    def mode(self):
        """What it is: standalone, leader, follower; nothing while it does not serve."""
        return self.say("srvr").partition("Mode: ")[2].partition("\n")[0]

    def say(self, word):
        """What it replies to one of its four-letter words; nothing where it forgets them.

        So it does with connections that it accepts a moment before it can serve them.
        """
        try:
            line = socket.create_connection(("127.0.0.1", self.port), 1)
        except OSError:
            return ""
        with line, contextlib.suppress(OSError):
            line.sendall(word.encode())
            return line.makefile().read()
        return ""

    @property
    def port(self):
        return self.ports["port"]

    def url(self, path=""):
        return f"zookeeper://127.0.0.1:{self.port}{path}"

    def fresh(self):
        """The URL of a path that nobody has used, for nodes of any size."""
        return self.url(f"/test-{next(self._numbers)}?max_message={self.largest}")


class _Member(ZooKeeperServer):
    """One of several servers that elect a leader."""

    def __init__(self, number, everyone):
        self.number = number
        self.everyone = everyone  # number -> the ports of that server
        super().__init__()

    def _start_somewhere(self):
        self.ports = self.everyone[self.number]
        (self.folder / "data").mkdir()
        (self.folder / "data" / "myid").write_text(f"{self.number}\n")
        Server.start(self)  # it serves once there is a majority

    def peers(self):
        lines = ["initLimit=40", "syncLimit=12"]
        lines += [
            f"server.{number}=127.0.0.1:{ports['quorum']}:{ports['election']}"
            for number, ports in self.everyone.items()
        ]
        return "".join(f"{line}\n" for line in lines)


class ZooKeeperEnsemble:
    """Three servers of which one leads."""

    SIZE = 3

    def __init__(self):
        self.members = []
        kinds = ("port", "quorum", "election")
        everyone = {
            number: {kind: free_port() for kind in kinds} for number in range(1, self.SIZE + 1)
        }
        try:
            self.members += [_Member(number, everyone) for number in everyone]
            for member in self.members:
                member.serves()
        except BaseException:
            self.close()
            raise

    def leader(self):
        """Who leads now; waits for an election to be over."""
        deadline = time.monotonic() + SECONDS_TO_START
        while time.monotonic() < deadline:
            for member in self.members:
                if member.running and member.mode() == "leader":
                    return member
            time.sleep(0.02)
        raise ServerFailed("nobody leads the ensemble")

    def url(self, path=""):
        hosts = ",".join(f"127.0.0.1:{member.port}" for member in self.members)
        return f"zookeeper://{hosts}{path}"

    def close(self):
        for member in self.members:
            member.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
