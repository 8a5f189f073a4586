"""A line between a client and a server that a test cuts, stalls or swallows, byte by byte.

    with Proxy(server.port) as proxy:
        client = connect(proxy.host, proxy.port)
        proxy.cut_after(17, TO_SERVER)  # 17 bytes of what comes next arrive, then the line is cut

The two directions are ``TO_SERVER`` (requests) and ``TO_CLIENT`` (replies).
"""

import contextlib
import socket
import struct
import threading

__all__ = ["BOTH", "TO_CLIENT", "TO_SERVER", "Proxy"]

TO_SERVER, TO_CLIENT = "to the server", "to the client"
BOTH = (TO_SERVER, TO_CLIENT)
AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER: an end that the other side sees as a reset


class Proxy:
    """Listens at a free port and carries bytes to ``target`` and back: a port, or (host, port).

    Two threads a connection. What is said here holds for all connections and for later ones,
    but for :meth:`cut_after` and :meth:`swallow_after`: they hold for the first that carries
    a byte that way.
    """

    host = "127.0.0.1"

    def __init__(self, target):
        self.target = ("127.0.0.1", target) if isinstance(target, int) else target
        self._listener = socket.create_server((self.host, 0))
        self.port = self._listener.getsockname()[1]
        self._changed = threading.Condition()
        self._links = []
        self._stalled = set()  # directions
        self._swallowed = set()
        self._traps = {}  # direction -> what the first to carry a byte falls into
        self._refusing = self._closed = False
        self.accepted = 0  # connections so far
        self.carried = dict.fromkeys(BOTH, 0)  # bytes that were passed on
        threading.Thread(target=self._accept, daemon=True, name="proxy").start()

    # --- what a test says ------------------------------------------------------------------

    def cut(self, *, reset=True):
        """End every connection now; with ``reset`` both sides see an error, else an end."""
        with self._changed:
            links, self._links = self._links, []
            self._changed.notify_all()
        for link in links:
            link.end(reset=reset)

    def refuse(self):
        """Cut, and end each new connection at once, until :meth:`heal`."""
        self._refusing = True
        self.cut()

    def stall(self, *directions):
        """Carry nothing that way (both, if none is named); what is sent waits until :meth:`heal`.

        As behind a server that hangs, or a cable that is out.
        """
        with self._changed:
            self._stalled.update(directions or BOTH)

    def swallow(self, *directions):
        """Throw away what comes that way (both, if none is named), until :meth:`heal`."""
        with self._changed:
            self._swallowed.update(directions or BOTH)

    def cut_after(self, count, direction):
        """Let exactly so many bytes pass that way from now on, then cut that connection.

        Gives an event that is set when it is; ``clean`` then says that nothing which had come was
        held back: it was cut between two things that were sent.
        """
        return self._trap(count, direction, "cut")

    def swallow_after(self, count, direction):
        """Let exactly so many bytes pass that way from now on, then none of that connection.

        Gives an event that is set when the first byte was thrown away.
        """
        return self._trap(count, direction, "swallow")

    def drop_reply(self):
        """Let the next request arrive, and cut before a byte of the reply comes back."""
        return self.cut_after(0, TO_CLIENT)

    def heal(self):
        """Carry everything again. What was swallowed is gone, what was stalled arrives."""
        with self._changed:
            self._refusing = False
            self._traps.clear()
            self._stalled.clear()
            self._swallowed.clear()
            for link in self._links:
                link.traps.clear()
            self._changed.notify_all()

    @property
    def connections(self):
        """How many there are now."""
        with self._changed:
            return len(self._links)

    def close(self):
        """End everything and stop listening."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.heal()
        self.cut()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __repr__(self):
        return f"<Proxy {self.port} to {self.target}, {self.connections} connections>"

    # --- the threads -----------------------------------------------------------------------

    def _trap(self, count, direction, what):
        trap = _Trap(count, what)
        with self._changed:
            self._traps[direction] = trap
        return trap.sprung

    def _accept(self):
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            self._connect(client)

    def _connect(self, client):
        try:
            if self._refusing:
                raise ConnectionRefusedError
            server = socket.create_connection(self.target)
        except OSError:  # the server is away: the client sees its connection end
            _end(client, reset=False)
            return
        link = _Link(client, server)
        with self._changed:
            self._links.append(link)
        for direction in BOTH:
            threading.Thread(
                target=self._carry, args=(link, direction), daemon=True, name=f"proxy {direction}"
            ).start()

    def _carry(self, link, direction):
        source, sink = link.ways[direction]
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                passing, then = self._passing(link, direction, data)
                if passing:
                    self.carried[direction] += len(passing)
                    sink.sendall(passing)
                if then == "cut":
                    break
            else:
                self._await_flow(link, direction)
                then = ""
            link.end(reset=then == "cut")
        link.end(reset=True)
        with self._changed:
            if link in self._links:
                self._links.remove(link)
            self._changed.notify_all()

    def _passing(self, link, direction, data):
        """What of it may pass, and what becomes of the connection then."""
        with self._changed:
            if direction in self._traps:
                link.traps[direction] = self._traps.pop(direction)
            self._wait_while_stalled(link, direction)
            if link not in self._links:  # cut while it waited: what was held back goes nowhere
                return b"", "cut"
            if direction in self._swallowed:
                return b"", ""
            trap = link.traps.get(direction)
            return (data, "") if trap is None else trap.passing(data)

    def _await_flow(self, link, direction):
        """An end is carried no sooner than what was sent before it."""
        with self._changed:
            self._wait_while_stalled(link, direction)

    def _wait_while_stalled(self, link, direction):
        self._changed.wait_for(
            lambda: direction not in self._stalled or link not in self._links or self._closed
        )


class Sprung(threading.Event):
    """Set when a connection fell into a trap."""

    clean = False  # nothing of what had come was held back


class _Trap:
    """So many bytes still pass, and then it is cut, or the rest swallowed."""

    def __init__(self, count, what):
        self.count = count
        self.what = what
        self.sprung = Sprung()

    def passing(self, data):
        """What of it may pass, and what becomes of the connection then."""
        passing = data[: self.count]
        self.count -= len(passing)
        torn = len(data) > len(passing)
        full = torn or (self.count == 0 and self.what == "cut")
        if full:
            self.sprung.clean = not torn
            self.sprung.set()
        return passing, self.what if full else ""


class _Link:
    """One connection: a socket to each side."""

    def __init__(self, client, server):
        for each in (client, server):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.ways = {TO_SERVER: (client, server), TO_CLIENT: (server, client)}
        self.traps = {}  # direction -> what it fell into
        self._ended = threading.Lock()

    def end(self, *, reset):
        """End it towards both sides, once."""
        if self._ended.acquire(blocking=False):
            for each in self.ways[TO_SERVER]:
                _end(each, reset=reset)


def _end(sock, *, reset):
    with contextlib.suppress(OSError):
        if reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        sock.shutdown(socket.SHUT_RD)  # wakes the thread that reads here
    sock.close()
