"""The line that tests cut: it cuts where it says, and carries all else."""

import socket
import threading

import pytest

from proxy import BOTH, TO_CLIENT, TO_SERVER, Proxy
from servers import free_port
from workers import wait_for


class Echo:
    """A server that sends back what it gets; ``got`` is what arrived."""

    def __init__(self):
        self.got = bytearray()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        with sock:
            try:
                while data := sock.recv(65536):
                    self.got += data
                    sock.sendall(data)
            except OSError:
                return

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def echo():
    echo = Echo()
    yield echo
    echo.close()


@pytest.fixture
def proxy(echo):
    with Proxy(echo.port) as proxy:
        yield proxy


@pytest.fixture
def client(proxy):
    with connect(proxy) as sock:
        yield sock


def connect(proxy):
    return socket.create_connection((proxy.host, proxy.port), timeout=10)


def said_back(sock, data):
    sock.sendall(data)
    return got(sock, len(data))


def got(sock, count):
    data = b""
    while len(data) < count and (part := sock.recv(count - len(data))):
        data += part
    return data


def all_until_the_end(sock):
    data = b""
    try:
        while part := sock.recv(100):
            data += part
    except ConnectionResetError:
        return data, "reset"
    return data, "end"


def test_it_carries_everything_both_ways(client, proxy):
    data = bytes(range(256)) * 8192
    sender = threading.Thread(target=client.sendall, args=(data,))
    sender.start()
    assert got(client, len(data)) == data
    sender.join()
    assert proxy.carried == dict.fromkeys(BOTH, len(data))


@pytest.mark.parametrize("count", [0, 1, 6])
def test_a_request_is_cut_at_the_byte(client, proxy, echo, count):
    assert said_back(client, b"before") == b"before"
    cut = proxy.cut_after(count, TO_SERVER)
    client.sendall(b"abcdef")
    data, how = all_until_the_end(client)
    assert b"abcdef".startswith(data)
    assert how == "reset"
    wait_for(lambda: echo.got == b"before" + b"abcdef"[:count])
    assert cut.is_set()


@pytest.mark.parametrize("count", [1, 3])
def test_a_reply_is_cut_at_the_byte(client, proxy, echo, count):
    proxy.cut_after(count, TO_CLIENT)
    client.sendall(b"abcdef")
    data, _ = all_until_the_end(client)
    assert data in {b"", b"abcdef"[:count]}  # a reset may overtake what was before it
    assert echo.got == b"abcdef"


def test_a_dropped_reply_comes_from_a_request_that_arrived(client, proxy, echo):
    proxy.drop_reply()
    client.sendall(b"order")
    assert all_until_the_end(client) == (b"", "reset")
    assert echo.got == b"order"


def test_what_was_stalled_arrives_later(client, proxy, echo):
    proxy.stall(TO_CLIENT)
    client.sendall(b"order")
    wait_for(lambda: echo.got == b"order")
    client.settimeout(0.05)
    with pytest.raises(TimeoutError):
        client.recv(1)
    client.settimeout(10)
    proxy.heal()
    assert got(client, 5) == b"order"


def test_what_was_swallowed_never_comes(client, proxy, echo):
    proxy.swallow(TO_SERVER)
    client.sendall(b"lost")
    client.settimeout(0.05)
    with pytest.raises(TimeoutError):
        client.recv(1)
    client.settimeout(10)
    proxy.heal()
    assert said_back(client, b"order") == b"order"
    assert echo.got == b"order"


def test_only_so_much_passes_and_the_connection_stays(client, proxy, echo):
    proxy.swallow_after(3, TO_SERVER)
    client.sendall(b"abcdef")
    assert got(client, 3) == b"abc"
    client.sendall(b"more")
    with connect(proxy) as other:
        assert said_back(other, b"xyz") == b"xyz"
    assert echo.got == b"abcxyz"


def test_a_cut_ends_every_connection_and_a_refusal_later_ones(client, proxy):
    with connect(proxy) as other:
        assert said_back(client, b"1") == said_back(other, b"1")
        proxy.refuse()
        assert all_until_the_end(client) == all_until_the_end(other) == (b"", "reset")
    with connect(proxy) as later:
        assert all_until_the_end(later)[0] == b""
    proxy.heal()
    with connect(proxy) as later:
        assert said_back(later, b"2") == b"2"


def test_a_cut_reaches_a_stalled_connection(client, proxy, echo):
    assert said_back(client, b"before") == b"before"
    proxy.stall()
    client.sendall(b"1")
    proxy.cut()
    assert all_until_the_end(client) == (b"", "reset")
    wait_for(lambda: not proxy.connections)
    assert echo.got == b"before"  # what was held back is not let go by the cut


def test_an_absent_server_is_an_ended_connection():
    with Proxy(free_port()) as proxy, connect(proxy) as client:
        assert all_until_the_end(client)[0] == b""
