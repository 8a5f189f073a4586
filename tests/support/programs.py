"""Programs that tests start: what they say, how they end. They die with the tests."""

import contextlib
import os
import queue
import shutil
import signal
import subprocess
import threading

__all__ = ["Program"]

SECONDS_TO_STOP = 20.0


class Program:
    """One process, and all that it says. Its own session: a Ctrl-C is for the tests alone."""

    def __init__(self, command, folder, *, env=None):
        self.process = _starter.start(
            command,
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._output = _Output(self.process.stdout)

    @property
    def pid(self):
        return self.process.pid

    @property
    def running(self):
        return self.process.poll() is None

    @property
    def text(self):
        """All that it said so far."""
        return self._output.text

    def says(self, text, timeout):
        """True once it says this; False when it ended without, or the time is over."""
        return self._output.says(text, timeout)

    def send(self, number):
        if self.running:
            with contextlib.suppress(ProcessLookupError):  # it ended just now
                self.process.send_signal(number)

    def stop(self, number=signal.SIGTERM, timeout=SECONDS_TO_STOP):
        """Ask it to end, and kill it if it does not; gives its exit code."""
        self.send(number)
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
        return self._ended()

    def kill(self):
        """SIGKILL for it and for what it started in its session; gives its exit code."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        return self._ended()

    def _ended(self):
        code = self.process.wait()
        self._output.end()
        return code


class _Starter:
    """The one thread that starts programs. The kernel kills them when it ends, with this process.

    A process is killed by the kernel when the *thread* that started it ends; a test's own thread
    may restart a server and be gone long before the server should be.
    """

    def __init__(self):
        self._orders = queue.SimpleQueue()
        self._thread = None
        self._lock = threading.Lock()

    def start(self, command, **options):
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, daemon=True, name="starter")
                self._thread.start()
        answer = queue.SimpleQueue()
        self._orders.put((command, options, answer))
        process = answer.get()
        if isinstance(process, Exception):
            raise process
        return process

    def _serve(self):
        while True:
            command, options, answer = self._orders.get()
            try:
                answer.put(_popen(command, options))
            except OSError as error:
                answer.put(error)


def _popen(command, options):
    setpriv = shutil.which("setpriv")
    mortal = [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
    return subprocess.Popen(
        [*mortal, *command], text=True, errors="replace", start_new_session=True, **options
    )


_starter = _Starter()
start = _starter.start


class _Output:
    """What a process says, read as it comes so that it never blocks on a full pipe."""

    def __init__(self, pipe):
        self._pipe = pipe
        self._lines = []
        self._changed = threading.Condition()
        self._over = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        with self._pipe as lines:
            for line in lines:
                with self._changed:
                    self._lines.append(line)
                    self._changed.notify_all()
        with self._changed:
            self._over = True
            self._changed.notify_all()

    @property
    def text(self):
        return "".join(self._lines)

    def says(self, text, timeout):
        def settled():
            return self._over or text in self.text

        with self._changed:
            self._changed.wait_for(settled, timeout)
            return text in self.text

    def end(self):
        """Wait until all that it said is read; what it left behind may hold the pipe open."""
        self._reader.join(1.0)
