"""Servers that the tests start, kill and restart: on free ports, each in a folder of its own.

    with RedisServer() as server:
        App("tasks", broker=server.url(5))

A server dies with the process that started it. Where its program is missing, a test skips with a
clear line at a desk and fails in CI (where the environment variable CI is set).
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import weakref
from pathlib import Path
from urllib.parse import quote

import pytest

from programs import Program

__all__ = [
    "MemcachedServer",
    "RedisSentinel",
    "RedisServer",
    "Server",
    "ServerFailed",
    "absent",
    "certificate",
    "path_of",
]

SECONDS_TO_START = 20.0
SECONDS_TO_STOP = 10.0


class ServerFailed(Exception):
    """A server did not start, or a command to it failed; the text holds what it said."""


def path_of(name):
    """The path of a program that a server needs; skips, or fails in CI, without it."""
    path = shutil.which(name)
    if path is None:
        absent(f"{name} is not installed: tests/support/system_packages.sh installs it")
    return path


def absent(text):
    """End the test for want of something: a skip at a desk, a failure in CI."""
    if os.environ.get("CI"):
        pytest.fail(text, pytrace=False)
    pytest.skip(text)


def free_port():
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def certificate(folder):
    """A certificate for ``localhost`` that is its own authority, and its key; made once."""
    path, key = folder / "server.crt", folder / "server.key"
    if not path.exists():
        subprocess.run(
            [
                path_of("openssl"), "req", "-x509", "-nodes", "-days", "2",
                "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                "-subj", "/CN=localhost",
                "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                "-keyout", key, "-out", path,
            ],
            check=True,
            capture_output=True,
        )  # fmt: skip
    return path, key


class Server:
    """One server process: started until it answers, killed, restarted where it was, stopped.

    A kind of server says its command line and the text in its output that means "ready". Its
    ports are chosen anew when somebody took one of them in the meantime, but not on a restart:
    clients come back to where they were.
    """

    READY = ""  # the text in its output
    TAKEN = ("Address already in use",)  # what it says of that, one of these
    PORTS = ("port",)  # names of the ports that it listens at
    SECONDS_TO_START = SECONDS_TO_START

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix=f"{type(self).__name__.lower()}-"))
        self.ports = {}
        self._programs = []  # at most one
        weakref.finalize(self, _leave_nothing, self.folder, self._programs)
        try:
            self._start_somewhere()
        except BaseException:
            self.close()
            raise

    def command(self):
        """The command line, from ``self.folder`` and ``self.ports``."""
        raise NotImplementedError

    # --- life ----------------------------------------------------------------------------

    def _start_somewhere(self):
        for _ in range(10):
            self.ports = {name: free_port() for name in self.PORTS}
            try:
                return self.start()
            except ServerFailed as failure:
                if not any(text in str(failure) for text in self.TAKEN):
                    raise
        raise ServerFailed(f"no free port for {self.command()[0]}")

    def start(self, ready=None):
        """Start it, and return when it answers, or says ``ready``; raises ServerFailed."""
        self._programs[:] = [Program(self.command(), self.folder)]
        if not self._programs[0].says(ready or self.READY, self.SECONDS_TO_START):
            self.kill()
            raise ServerFailed(f"{type(self).__name__} did not start:\n{self.log}")

    @property
    def running(self):
        return any(program.running for program in self._programs)

    @property
    def pid(self):
        """Its process's id."""
        return self._programs[0].pid

    @property
    def log(self):
        """What the present process said so far."""
        return "".join(program.text for program in self._programs)

    def kill(self):
        """SIGKILL: nothing is saved, clients see their connections end."""
        for program in self._programs:
            program.kill()

    def stop(self):
        """SIGTERM, and wait until it is gone."""
        self.resume()
        for program in self._programs:
            program.stop(timeout=SECONDS_TO_STOP)

    def restart(self):
        """Start it again at the same ports in the same folder, stopped before if it runs."""
        if self.running:
            self.stop()
        self.start()

    def ensure(self):
        """Have it run, whatever the test before this one did to it."""
        self.resume()
        if not self.running:
            self.start()

    def pause(self):
        """SIGSTOP: connections stay open, nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self):
        """Take :meth:`pause` back."""
        self._signal(signal.SIGCONT)

    def _signal(self, number):
        for program in self._programs:
            program.send(number)

    def close(self):
        """End it for good and remove its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __repr__(self):
        return f"<{type(self).__name__} {self.ports} {'running' if self.running else 'ended'}>"


class RedisServer(Server):
    """A Redis server with a password, without snapshots; at a port, at a socket, with TLS if asked.

    ``settings`` are lines of its configuration: ``{"maxmemory": "10mb"}``.
    """

    READY = "eady to accept connections"
    PASSWORD = "open@42/sesame:"  # with what a URL must quote

    def __init__(self, *, appendonly=False, tls=False, password=PASSWORD, settings=None):
        self.appendonly = appendonly
        self.tls = tls
        self.password = password
        self.settings = settings or {}
        if tls:
            self.PORTS = ("port", "tls_port")
        super().__init__()

    def command(self):
        configuration = {
            "port": self.port,
            "bind": "127.0.0.1",
            "unixsocket": str(self.folder / "socket"),
            "dir": str(self.folder),
            "save": "",
            "appendonly": "yes" if self.appendonly else "no",
            **({"requirepass": self.password} if self.password else {}),
            **(self._with_tls() if self.tls else {}),
            **self.settings,
        }
        words = [word for name, value in configuration.items() for word in (f"--{name}", value)]
        return [path_of("redis-server"), *map(str, words)]

    def _with_tls(self):
        certificate, key = self._certificate()
        return {
            "tls-port": self.ports["tls_port"],
            "tls-cert-file": certificate,
            "tls-key-file": key,
            "tls-ca-cert-file": certificate,
            "tls-auth-clients": "no",
        }

    def _certificate(self):
        return certificate(self.folder)

    # --- where it is ---------------------------------------------------------------------

    @property
    def port(self):
        return self.ports["port"]

    @property
    def _login(self):
        return f":{quote(self.password, safe='')}@" if self.password else ""

    def url(self, db=0):
        return f"redis://{self._login}127.0.0.1:{self.port}/{db}"

    def tls_url(self, db=0):
        """With the authority to check it by; the certificate is for ``localhost``."""
        authority = quote(str(self.folder / "server.crt"), safe="")
        where = f"rediss://{self._login}localhost:{self.ports['tls_port']}/{db}"
        return f"{where}?ssl_cert_reqs=required&ssl_ca_certs={authority}"

    def unix_url(self, db=0):
        return f"unix://{self._login}{self.folder / 'socket'}?db={db}"

    # --- commands ------------------------------------------------------------------------

    def cli(self, *words, db=0, stdin=None):
        """What redis-cli prints for a command; raises ServerFailed for an error reply."""
        done = subprocess.run(
            [
                path_of("redis-cli"), "-h", "127.0.0.1", "-p", str(self.port),
                "-n", str(db), "-e", *map(str, words),
            ],
            env=os.environ | ({"REDISCLI_AUTH": self.password} if self.password else {}),
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
        if done.returncode:
            raise ServerFailed(f"{words}: {done.stderr or done.stdout}")
        return done.stdout.removesuffix("\n")

    def flush(self):
        """Empty every database."""
        self.cli("FLUSHALL", "SYNC")


class MemcachedServer(Server):
    """A memcached server; ``options`` are words of its command line: ``("-I", "8m")``."""

    READY = "server listening"
    TAKEN = ("failed to listen",)

    def __init__(self, *options, tls=False):
        self.options = options
        self.tls = tls
        super().__init__()

    def command(self):
        user = ("-u", "nobody") if os.getuid() == 0 else ()
        if self.tls:
            path, key = certificate(self.folder)
            user = (*user, "-Z", "-o", f"ssl_chain_cert={path},ssl_key={key}")
        return [
            path_of("memcached"), "-l", "127.0.0.1", "-p", str(self.port), "-U", "0", "-vv",
            *user, *self.options,
        ]  # fmt: skip

    @property
    def port(self):
        return self.ports["port"]

    def url(self):
        return f"cache+memcached://127.0.0.1:{self.port}/"

    def tls_url(self):
        """With the authority to check it by; the certificate is for ``localhost``."""
        authority = quote(str(self.folder / "server.crt"), safe="")
        return f"cache+memcached://localhost:{self.port}/?use_ssl=1&ca={authority}"

    def say(self, words):
        """What it replies to a line of its protocol."""
        with socket.create_connection(("127.0.0.1", self.port), 10) as line:
            line.sendall(words.encode() + b"\r\nquit\r\n")
            said = b""
            while data := line.recv(65536):
                said += data
        return said.decode()

    def flush(self):
        """Forget everything."""
        self.say("flush_all")


class RedisSentinel(Server):
    """Watches a :class:`RedisServer` and lets its replica take over, with others of its kind."""

    READY = "+monitor master"
    PASSWORD = "watch/us"

    def __init__(self, master, *, name="shop", quorum=2):
        self.master = master
        self.name = name
        self.quorum = quorum
        super().__init__()

    def command(self):
        """It writes what it knows into its configuration, so a restart keeps the file."""
        file = self.folder / f"sentinel-{self.port}.conf"
        if not file.exists():
            file.write_text(
                f"""\
port {self.port}
bind 127.0.0.1
dir {self.folder}
requirepass {self.PASSWORD}
sentinel sentinel-pass {self.PASSWORD}
sentinel monitor {self.name} 127.0.0.1 {self.master.port} {self.quorum}
sentinel auth-pass {self.name} {self.master.password}
sentinel down-after-milliseconds {self.name} 500
sentinel failover-timeout {self.name} 3000
"""
            )
        return [path_of("redis-sentinel"), str(file)]

    @property
    def port(self):
        return self.ports["port"]

    def ask(self, *words):
        """What redis-cli prints."""
        done = subprocess.run(
            [path_of("redis-cli"), "-p", str(self.port), "SENTINEL", *words],
            env=os.environ | {"REDISCLI_AUTH": self.PASSWORD},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout


def _leave_nothing(folder, programs):
    """For a server that nobody closed, at the latest when this program exits."""
    for program in programs:
        program.kill()
    shutil.rmtree(folder, ignore_errors=True)
