"""What users write: addresses, settings, options, rates. ConfigError, and no password in it."""

import json

from mutation import mutated
from target import Target, attempt

from penstock.errors import ConfigError, DecodeError
from penstock.tasks.options import TaskOptions
from penstock.tasks.settings import Settings
from penstock.url import Url
from penstock.wire.codec import loads

SECRET = "hunter2"
ADDRESSES = [
    "sqlite:///jobs.db?durability=process", "redis://:hunter2@host:6379/5",
    "rediss://user:hunter2@host/0?ssl_cert_reqs=required", "amqp://guest:hunter2@host:5672//",
    "postgresql://me:hunter2@/db?host=/run/postgresql", "redis://:hunter2@[::1]:6379/0",
    "sentinel://:hunter2@a:26379;sentinel://:hunter2@b:26379/0", "memory://", "cache+memcached://",
    "zookeeper://a:2181,b:2181/chroot", "db+mysql+pymysql://me:hunter2@host/db", "x://%2F:%40@h",
]  # fmt: skip
SETTINGS = [
    {"broker_url": "redis://:hunter2@host/0", "lease_time": 3.0, "timezone": "UTC"},
    {"task_queues": {"q": {"queue_arguments": {"x-max-priority": 9}}}, "crash_limit": 2},
    {"task_routes": {"a.*": {"queue": "q", "priority": 3}, "b": "c"}, "accept_content": ["json"]},
    {"task_default_rate_limit": "10/m", "result_expires": None, "worker_pool": "threads"},
]
OPTIONS = [
    {"name": "t", "max_retries": 3, "retry_backoff": True, "retry_jitter": False},
    {"rate_limit": "10/m", "priority": 3, "queue": "q", "expires": 60},
    {"time_limit": 3.0, "soft_time_limit": 2, "acks_late": False, "retry_kwargs": {"countdown": 1}},
]


def read_address(data, chance):
    text = data.decode("utf-8", "surrogateescape")
    url = attempt(Url.parse, text, ConfigError)
    if url is None:
        return
    if url.password is not None and SECRET in url.password:
        beside = url.host, url.user, url.path, url.scheme  # it may stand there once more
        if not any(SECRET in (part or "") for part in beside):
            assert SECRET not in str(url) + repr(url)
    attempt(lambda one: one.servers(1), url, ConfigError)
    url.anchored()


def read_refusal(data, chance):
    """Whatever is wrong with an address: the error does not tell its password."""
    head, _, tail = data.partition(b"@")
    text = (head + SECRET.encode() + b"@" + tail).decode("utf-8", "surrogateescape")
    refused = None
    try:
        Url.parse(text)
    except ConfigError as error:
        refused = str(error)
    assert SECRET not in (refused or "")


def _read_map(make):
    def read(data, chance):
        try:
            values = loads(data)
        except DecodeError:
            return
        if isinstance(values, dict):
            made = attempt(make, values, ConfigError)
            repr(made)

    return read


def _texts(values):
    return lambda: [json.dumps(value).encode() for value in values]


TARGETS = [
    Target("address", lambda: [one.encode() for one in ADDRESSES], read_address),
    Target("refusal", lambda: [b"redis://:@host:6379/0", b"a://u:/@[::1/"], read_refusal),
    Target("settings", _texts(SETTINGS), _read_map(Settings.of), mutated),
    Target("options", _texts(OPTIONS), _read_map(TaskOptions.of), mutated),
]
