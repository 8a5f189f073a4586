"""The zygote: imports the user's app once, then forks executors and reaps them.

It is forked before the supervisor has a thread, a connection or a database handle, stays
single-threaded, and does nothing between requests but wait. When the supervisor goes away, in
whatever way, its socket closes and the zygote kills every executor's process group and ends.
"""

from __future__ import annotations

import array
import gc
import os
import select
import signal
import socket
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

from penstock.crashpoints import play, reach
from penstock.errors import PenstockError
from penstock.worker.log import LOG
from penstock.worker.processes import (
    Sentence,
    die_with_parent,
    ignore_stop_signals,
    kill_group,
    outlive_parent,
    own_group,
)
from penstock.worker.protocol import (
    Exited,
    Failure,
    FrameReader,
    Kill,
    Spawn,
    Spawned,
    ToZygote,
    frame,
)

if TYPE_CHECKING:
    from penstock.tasks.app import App

__all__ = ["Execute", "Zygote", "run_zygote"]

_DESCRIPTORS = 2  # an executor's ends: tasks, replies
_READ = 64 * 1024

Execute = Callable[["App", int, int, str], None]  # app, task and reply descriptors, worker's name


def run_zygote(
    control: socket.socket,
    parent: int,
    *,
    load: Callable[[], App],
    manifest: Callable[[App], object],
    execute: Execute,
) -> NoReturn:
    """Be the zygote of a fresh fork: load the app, tell what it holds, serve, and exit."""
    code = 1
    try:
        die_with_parent(parent)
        play("zygote")
        ignore_stop_signals()
        app = _load(control, load)
        reach("loaded")
        if app is not None:
            control.sendall(frame(manifest(app)))
            Zygote(app, control=control, execute=execute).serve()
            code = 0
    except (BrokenPipeError, ConnectionResetError):
        code = 0  # the supervisor is gone: so are we
    except BaseException as error:  # noqa: BLE001 - a forked process must not unwind into its parent's code
        LOG.critical("The process that forks executors ends", exc_info=error)
    finally:
        os._exit(code)


def _load(control: socket.socket, load: Callable[[], App]) -> App | None:
    try:
        return load()
    except PenstockError as error:
        control.sendall(frame(Failure(str(error))))
    except BaseException:  # noqa: BLE001 - user code may raise anything, SystemExit included
        control.sendall(frame(Failure(traceback.format_exc())))
    return None


class Zygote:
    """Forks and reaps. ``_children`` maps slots to living pids, touched only by ``serve``."""

    def __init__(self, app: App, *, control: socket.socket, execute: Execute) -> None:
        self._app = app
        self._control = control
        self._execute = execute
        self._reader = FrameReader(ToZygote)
        self._descriptors: list[int] = []
        self._children: dict[int, int] = {}
        self._sentences: dict[int, Sentence] = {}

    def serve(self) -> None:
        """Answer the supervisor until it is gone; then leave nobody behind."""
        waker, wakened = socket.socketpair()
        waker.setblocking(False)
        wakened.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wakened.fileno(), warn_on_full_buffer=False)
        outlive_parent()  # from here on its closed socket tells, and there is cleaning up to do
        gc.collect()
        gc.freeze()  # what was imported is never scanned, so its pages stay shared
        try:
            while self._turn(waker):
                pass
        finally:
            for pid in self._children.values():
                kill_group(pid)

    def _turn(self, waker: socket.socket) -> bool:
        readable, _, _ = select.select([self._control, waker], [], [])
        if waker in readable:
            waker.recv(_READ)
            self._reap()
        return self._control not in readable or self._answer()

    def _answer(self) -> bool:
        data, descriptors, _, _ = _receive_with_descriptors(self._control)
        if not data:
            return False
        self._descriptors += descriptors
        for request in self._reader.feed(data):
            if isinstance(request, Spawn):
                self._spawn(request)
            elif isinstance(request, Kill):
                self._kill(request)
        return True

    def _spawn(self, request: Spawn) -> None:
        tasks, replies = self._descriptors[:_DESCRIPTORS]
        del self._descriptors[:_DESCRIPTORS]
        parent = os.getpid()
        sentence = self._sentences[request.slot] = Sentence()
        reach("forking")
        pid = os.fork()
        if pid == 0:
            sentence.heed()
            self._become_executor(parent, tasks, replies, request.worker)
        reach("forked")
        self._children[request.slot] = pid
        os.close(tasks)
        os.close(replies)
        self._control.sendall(frame(Spawned(request.slot, pid)))

    def _become_executor(self, parent: int, tasks: int, replies: int, worker: str) -> NoReturn:
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            own_group()
            die_with_parent(parent)
            play("executor")
            reach("born")
            self._control.close()
            self._execute(self._app, tasks, replies, worker)
            code = 0
        except BaseException as error:  # noqa: BLE001 - a forked process must not unwind into its parent's code
            LOG.critical("This executor ends", exc_info=error)
        finally:
            os._exit(code)

    def _kill(self, request: Kill) -> None:
        pid = self._children.get(request.slot)
        if pid is None:
            return
        if request.signal == signal.SIGKILL:
            kill_group(pid)
        else:
            self._sentences[request.slot].pass_(request.signal)
            os.kill(pid, request.signal)

    def _reap(self) -> None:
        for slot, pid in list(self._children.items()):
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                continue
            reach("reaping")
            kill_group(pid)  # before reaping: until then nobody else can have this number
            _, status = os.waitpid(pid, 0)
            reach("reaped")
            del self._children[slot], self._sentences[slot]
            self._control.sendall(frame(Exited(slot, pid, os.waitstatus_to_exitcode(status))))


def _receive_with_descriptors(
    control: socket.socket,
) -> tuple[bytes, list[int], int, object]:
    descriptors = array.array("i")
    space = socket.CMSG_SPACE(64 * descriptors.itemsize)
    flags = getattr(socket, "MSG_CMSG_CLOEXEC", 0)  # a task's own programs must not inherit them
    data, ancillary, message_flags, address = control.recvmsg(_READ, space, flags)
    for level, kind, raw in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(raw[: len(raw) - len(raw) % descriptors.itemsize])
    return data, list(descriptors), message_flags, address
