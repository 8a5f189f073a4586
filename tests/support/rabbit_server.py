"""A RabbitMQ server of the tests' own; see :mod:`servers` for its life."""

import os
import shutil
import subprocess
from pathlib import Path
from urllib.parse import quote

from servers import Server, ServerFailed, certificate, path_of

__all__ = ["RabbitServer"]


class RabbitServer(Server):
    """A RabbitMQ server with a user of its own, and the port mapper that its Erlang asks for.

    ``settings`` are lines of its configuration: ``{"consumer_timeout": 2000}``. It looks at such
    time-outs every second. It runs as whoever runs the tests, root too.
    """

    READY = "completed with"
    TAKEN = ("eaddrinuse", "could not bind to distribution port")
    PORTS = ("port", "dist_port", "epmd_port")
    SECONDS_TO_START = 60.0
    USER, PASSWORD = "tester", "open@42/sesame:"  # with what a URL must quote

    def __init__(self, *, tls=False, settings=None, advanced=None, beside=None):
        self.tls = tls
        self.settings = settings or {}
        self.advanced = {"channel_tick_interval": 1000} | (advanced or {})  # of its application
        self.beside = beside  # a node that this one is to form a cluster with
        if tls:
            self.PORTS = (*self.PORTS, "tls_port")
        super().__init__()

    def command(self):
        self._configure()
        if self.beside is not None:
            cookie = self.folder / ".erlang.cookie"
            shutil.copyfile(self.beside.folder / ".erlang.cookie", cookie)
            cookie.chmod(0o400)
        words = [f"{name}={value}" for name, value in self._environment().items()]
        mapper = f"{_mortal()}{path_of('epmd')} -port {self._mapper_port}"
        # In one session, so that they end together; the server takes the shell's place, and the
        # kernel ends the mapper with it, also where nobody is left to end the session.
        both = f'{mapper} & exec "$0"'
        return [path_of("env"), *words, path_of("sh"), "-c", both, _rabbit_program()]

    def _environment(self):
        return {
            "HOME": self.folder,
            "RABBITMQ_BASE": self.folder,
            "RABBITMQ_MNESIA_BASE": self.folder / "data",
            "RABBITMQ_LOG_BASE": self.folder,
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_CONFIG_FILE": self.folder / "rabbitmq.conf",
            "RABBITMQ_ADVANCED_CONFIG_FILE": self.folder / "advanced.config",
            "RABBITMQ_ENABLED_PLUGINS_FILE": self.folder / "plugins",
            "RABBITMQ_CONF_ENV_FILE": self.folder / "none",
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_NODE_PORT": self.port,
            "RABBITMQ_DIST_PORT": self.ports["dist_port"],
            "ERL_EPMD_PORT": self._mapper_port,
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RUNNING_UNDER_SYSTEMD": "1",  # no shell that stays in front of it
        }

    @property
    def _mapper_port(self):
        return (self.beside or self).ports["epmd_port"]

    def join(self, other):
        """Form a cluster with a node that this one was made beside."""
        for words in (("stop_app",), ("reset",), ("join_cluster", other.node), ("start_app",)):
            self.ctl(*words)

    @property
    def node(self):
        return f"test{self.ports['dist_port']}@localhost"

    def _configure(self):
        lines = {
            "listeners.tcp.local": f"127.0.0.1:{self.port}",
            "default_user": self.USER,
            "default_pass": self.PASSWORD,
            "log.console.level": "warning",
            **(self._with_tls() if self.tls else {}),
            **self.settings,
        }
        text = "".join(f"{name} = {value}\n" for name, value in lines.items())
        (self.folder / "rabbitmq.conf").write_text(text)
        words = ", ".join(f"{{{name}, {value}}}" for name, value in self.advanced.items())
        (self.folder / "advanced.config").write_text(f"[{{rabbit, [{words}]}}].")
        (self.folder / "plugins").write_text("[].")

    def _with_tls(self):
        path, key = certificate(self.folder)
        return {
            "listeners.ssl.local": f"127.0.0.1:{self.ports['tls_port']}",
            "ssl_options.certfile": path,
            "ssl_options.keyfile": key,
            "ssl_options.cacertfile": path,
            "ssl_options.verify": "verify_none",
            "ssl_options.fail_if_no_peer_cert": "false",
        }

    # --- where it is, and commands -------------------------------------------------------

    @property
    def port(self):
        return self.ports["port"]

    def url(self, vhost="", *, password=PASSWORD):
        """``vhost`` as it stands in a URL; empty is the default one."""
        login = f"{self.USER}:{quote(password, safe='')}"
        return f"amqp://{login}@127.0.0.1:{self.port}/{vhost}"

    def tls_url(self, authority=None):
        """With the authority to check it by; the certificate is for ``localhost``."""
        authority = quote(str(authority or self.folder / "server.crt"), safe="")
        login = f"{self.USER}:{quote(self.PASSWORD, safe='')}"
        where = f"amqps://{login}@localhost:{self.ports['tls_port']}/"
        return f"{where}?ssl_cert_reqs=required&ssl_ca_certs={authority}"

    def ctl(self, *words):
        """What rabbitmqctl prints; it takes seconds. Raises ServerFailed."""
        program = _rabbit_program().with_name("rabbitmqctl")
        done = subprocess.run(
            [program, "-q", "-n", self.node, *map(str, words)],
            env=os.environ | {name: str(value) for name, value in self._environment().items()},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ServerFailed(f"{words}: {done.stderr or done.stdout}")
        return done.stdout.removesuffix("\n")


def _mortal():
    """Words before a command that has to end with the process that starts it."""
    setpriv = shutil.which("setpriv")
    return f"{setpriv} --pdeathsig KILL -- " if setpriv else ""


def _rabbit_program():
    """The program itself: what the package puts into the path changes the user and the folder."""
    there = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
    return there if there.exists() else Path(path_of("rabbitmq-server"))
