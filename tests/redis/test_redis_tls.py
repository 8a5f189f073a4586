"""TLS: both sides show who they are, or one says what is wrong and what helps."""

import subprocess
from urllib.parse import quote

import pytest

from penstock.brokers.registry import open_broker
from penstock.errors import ConfigError, Unavailable
from penstock.message import Done, Message, new_id
from servers import RedisServer


def message():
    task_id = new_id()
    return Message(id=task_id, queue="orders", headers={"task": "t", "id": task_id}, body=b"[]")


def once_around(url):
    broker = open_broker(url)
    broker.publish([message()])
    (lease,) = broker.lease(["orders"], 5, 10.0)
    assert broker.settle([Done(lease)]) == []
    broker.close()


def refusal(url, kind):
    broker = open_broker(url)
    with pytest.raises(kind) as caught:
        broker.publish([message()])
    broker.close()
    assert RedisServer.PASSWORD not in str(caught.value)
    return str(caught.value)


def certificate(folder, name, *, signed_by=None):
    """A certificate and its key: one that is its own authority, or signed by another's."""
    key, path = folder / f"{name}.key", folder / f"{name}.crt"
    signer = ["-CA", signed_by[0], "-CAkey", signed_by[1]] if signed_by else []
    subprocess.run(
        [
            "openssl", "req", "-x509", "-nodes", "-days", "2", "-newkey", "ec",
            "-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", f"/CN={name}",
            "-keyout", key, "-out", path, *signer,
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return path, key


def with_options(url, **options):
    return url + "".join(f"&{name}={quote(str(value), safe='')}" for name, value in options.items())


@pytest.fixture(scope="module")
def server():
    with RedisServer(tls=True) as server:
        yield server


@pytest.fixture(scope="module")
def strict():
    """A server that lets nobody in without a certificate that its own authority signed."""
    with RedisServer(tls=True, settings={"tls-auth-clients": "yes"}) as server:
        yield server


def test_a_client_that_does_not_know_the_authority(server, tmp_path):
    other, _ = certificate(tmp_path, "another")
    where = server.tls_url().partition("?")[0]
    for url in (f"{where}?ssl_ca_certs={quote(str(other), safe='')}", where):
        assert "ssl_ca_certs" in refusal(url, ConfigError)


def test_a_name_that_the_certificate_does_not_have(server):
    url = with_options(server.tls_url().replace("localhost", "127.1"), ssl_check_hostname="true")
    assert "another name" in refusal(url, ConfigError)


def test_a_plain_client_at_a_port_with_tls(server):
    plain = server.tls_url().replace("rediss", "redis").partition("?")[0]
    assert "rediss://" in refusal(plain, Unavailable)


def test_a_client_with_tls_at_a_plain_port(server):
    url = server.tls_url().replace(str(server.ports["tls_port"]), str(server.port))
    assert "speaks no TLS, write redis://" in refusal(url, Unavailable)


def test_a_client_shows_its_certificate(strict, tmp_path):
    path, key = strict.folder / "server.crt", strict.folder / "server.key"
    mine = certificate(tmp_path, "me", signed_by=(path, key))
    once_around(with_options(strict.tls_url(), ssl_certfile=mine[0], ssl_keyfile=mine[1]))


def test_a_client_that_has_no_certificate_or_another_authoritys(strict, tmp_path):
    assert "ssl_certfile" in refusal(strict.tls_url(), (ConfigError, Unavailable))
    path, key = certificate(tmp_path, "stranger")
    url = with_options(strict.tls_url(), ssl_certfile=path, ssl_keyfile=key)
    assert "ssl_certfile" in refusal(url, (ConfigError, Unavailable))


def test_a_certificate_that_is_not_there(server):
    nowhere = str(server.folder / "nowhere.crt")
    where = server.tls_url().partition("?")[0]
    assert "nowhere.crt" in refusal(f"{where}?ssl_ca_certs={quote(nowhere, safe='')}", ConfigError)


@pytest.mark.parametrize("word", ["CERT_REQUIRED", "required", "CERT_NONE", "none"])
def test_celerys_words_for_how_strict_it_is(server, word):
    once_around(server.tls_url().replace("ssl_cert_reqs=required", f"ssl_cert_reqs={word}"))


def test_celerys_word_for_strict_is_strict(server):
    url, _, _ = server.tls_url().partition("?")
    assert "ssl_ca_certs=file" in refusal(f"{url}?ssl_cert_reqs=CERT_REQUIRED", ConfigError)
    once_around(f"{url}?ssl_cert_reqs=CERT_NONE")


@pytest.mark.parametrize("option", ["ssl_cert_reqs=sometimes", "ssl_certfiles=me.crt"])
def test_an_option_that_is_wrong(server, option):
    name = option.partition("=")[0]
    text = refusal(f"{server.tls_url().partition('?')[0]}?{option}", ConfigError)
    assert name in text or "sometimes" in text
