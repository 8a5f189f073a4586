"""Simulates a broker on a server that is started for it: ``on_servers.py redis --seed 7``.

The other options are those of ``python -m penstock.testing.simulation``.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from penstock.testing.simulation.__main__ import main
from servers import RedisServer


def run(broker, *options):
    with RedisServer() as server:
        main(["--broker", broker, "--url", server.unix_url(), *options])


if __name__ == "__main__":
    run(*sys.argv[1:])
