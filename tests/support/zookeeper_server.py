"""A ZooKeeper server that tests start, kill and restart; see :mod:`servers`."""

import contextlib
import itertools
import socket
import time
from pathlib import Path

from servers import SECONDS_TO_START, Server, ServerFailed, absent, path_of

__all__ = ["ZooKeeperServer"]

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
        )
        (self.folder / "log4j.properties").write_text(LOGGING)
        jars = ("zookeeper", "slf4j-api", "slf4j-log4j12", "log4j-1.2")
        return [
            path_of("java"), "-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
            f"-Djute.maxbuffer={self.largest}", "-Dzookeeper.forceSync=no",
            "-cp", ":".join([str(self.folder), *(f"{JARS}/{name}.jar" for name in jars)]),
            "org.apache.zookeeper.server.quorum.QuorumPeerMain", str(self.folder / "zoo.cfg"),
        ]  # fmt: skip

    def start(self):
        if not Path(f"{JARS}/zookeeper.jar").exists():
            absent("zookeeper is not installed: tests/support/system_packages.sh installs it")
        super().start()
        deadline = time.monotonic() + SECONDS_TO_START
        while "Mode: " not in self.say("srvr"):  # it listens before it serves
            if time.monotonic() > deadline:
                raise ServerFailed(f"ZooKeeper does not serve:\n{self.log}")
            time.sleep(0.02)

    def say(self, word):
        """What it replies to one of its four-letter words."""
        try:
            line = socket.create_connection(("127.0.0.1", self.port), 5)
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
