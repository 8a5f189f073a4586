"""A RabbitMQ server of the tests' own; see :mod:`servers` for its life."""

import os
import subprocess
from pathlib import Path
from urllib.parse import quote

from servers import Server, ServerFailed, path_of

__all__ = ["RabbitServer"]


class RabbitServer(Server):
    """A RabbitMQ server with a user of its own, and the port mapper that its Erlang asks for.

    ``settings`` are lines of its configuration: ``{"consumer_timeout": 2000}``. It looks at such
    time-outs every second. Where root may not run it, it runs as the package's user.
    """

    READY = "completed with"
    TAKEN = "eaddrinuse"
    PORTS = ("port", "dist_port", "epmd_port")
    SECONDS_TO_START = 60.0
    USER, PASSWORD = "tester", "open@42/sesame:"  # with what a URL must quote

    def __init__(self, *, settings=None):
        self.settings = settings or {}
        super().__init__()

    def command(self):
        self._configure()
        words = [f"{name}={value}" for name, value in self._environment().items()]
        epmd = path_of("epmd")
        # In one session, so that they end together; the server takes the shell's place.
        both = f'{epmd} -port {self.ports["epmd_port"]} & exec "$0"'
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
            "ERL_EPMD_PORT": self.ports["epmd_port"],
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RUNNING_UNDER_SYSTEMD": "1",  # no shell that stays in front of it
        }

    @property
    def node(self):
        return f"test{self.ports['dist_port']}@localhost"

    def _configure(self):
        lines = {
            "listeners.tcp.local": f"127.0.0.1:{self.port}",
            "default_user": self.USER,
            "default_pass": self.PASSWORD,
            "log.console.level": "warning",
            **self.settings,
        }
        text = "".join(f"{name} = {value}\n" for name, value in lines.items())
        (self.folder / "rabbitmq.conf").write_text(text)
        (self.folder / "advanced.config").write_text("[{rabbit, [{channel_tick_interval, 1000}]}].")
        (self.folder / "plugins").write_text("[].")

    # --- where it is, and commands -------------------------------------------------------

    @property
    def port(self):
        return self.ports["port"]

    def url(self, vhost=""):
        """``vhost`` as it stands in a URL; empty is the default one."""
        login = f"{self.USER}:{quote(self.PASSWORD, safe='')}"
        return f"amqp://{login}@127.0.0.1:{self.port}/{vhost}"

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


def _rabbit_program():
    """The program itself: what the package puts into the path changes the user and the folder."""
    there = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
    return there if there.exists() else Path(path_of("rabbitmq-server"))
