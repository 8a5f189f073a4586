"""A client whose main thread is interrupted again and again and goes on, as in a notebook.

python interrupted_client.py BROKER BACKEND INTERRUPTIONS SEED

Other threads send meanwhile, one of them awaiting. Prints as JSON: `acknowledged`, the ids of
what was told to be stored; `errors`, by thread; `interrupted`, how often.
"""

import asyncio
import contextlib
import json
import logging
import os
import random
import signal
import sys
import threading
import time

from penstock import App, ResultTimeout


class Interruptions:
    """Ctrl-C at any moment, but only within a call of the main thread."""

    def __init__(self):
        self.within = self.over = False
        self.count = 0
        signal.signal(signal.SIGINT, self._raise)

    def _raise(self, *_):
        if self.within:
            self.within = False
            raise KeyboardInterrupt

    def bully(self, times, seed):
        """Interrupt so many times, some milliseconds apart."""
        dice = random.Random(seed)
        while self.count < times:
            time.sleep(dice.uniform(0.0003, 0.006))
            os.kill(os.getpid(), signal.SIGINT)
        self.over = True

    def endure(self, call):
        """Make a call again and again, in the main thread."""
        while not self.over:
            try:
                while not self.over:
                    self.within = True
                    call()
                    self.within = False
            except KeyboardInterrupt:
                self.count += 1


class Notebook:
    """What is sent, and what was told of it."""

    def __init__(self, broker, backend):
        self.app = App("notebook", broker=broker, backend=backend)
        self.echo = self.app.task(name="echo")(lambda text: text)
        self.acknowledged = []
        self.errors = {"main": [], "others": []}

    def send(self, who, call):
        try:
            self.acknowledged += [result.id for result in call()]
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told of
            self.errors[who].append(f"{type(error).__name__}: {error}")

    def main(self):
        self.send("main", lambda: [self.echo.delay("main")])
        self.send("main", lambda: self.echo.send_many([("many",)] * 3))
        self.send("main", self.look)

    def look(self):
        result = self.app.AsyncResult(self.acknowledged[-1])
        result.ready()
        with contextlib.suppress(ResultTimeout):
            result.get(timeout=0.002)
        return []

    def others(self, interruptions):
        while not interruptions.over:
            self.send("others", lambda: [self.echo.delay("other")])
            self.send("others", lambda: self.echo.send_many([("other",)] * 3))

    def awaiting(self, interruptions):
        async def together():
            return await asyncio.gather(*(self.echo.adelay("together") for _ in range(3)))

        while not interruptions.over:
            self.send("others", lambda: asyncio.run(together()))


def run(broker, backend, times, seed):
    logging.getLogger("penstock").setLevel(logging.ERROR)
    notebook, interruptions = Notebook(broker, backend), Interruptions()
    notebook.send("main", lambda: [notebook.echo.delay("first")])
    threads = [
        threading.Thread(target=notebook.others, args=(interruptions,)),
        threading.Thread(target=notebook.others, args=(interruptions,)),
        threading.Thread(target=notebook.awaiting, args=(interruptions,)),
        threading.Thread(target=interruptions.bully, args=(times, seed)),
    ]
    for thread in threads:
        thread.start()
    interruptions.endure(notebook.main)
    for thread in threads:
        thread.join()
    notebook.send("main", lambda: [notebook.echo.delay("last")])
    notebook.app.close()
    told = {"acknowledged": notebook.acknowledged, "errors": notebook.errors}
    print(json.dumps(told | {"interrupted": interruptions.count}))


run(*sys.argv[1:3], *map(int, sys.argv[3:]))
