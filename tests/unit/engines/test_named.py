"""One engine for each URL of a process."""

import gc
import os
import threading

from penstock.engines.named import Named


class Engine:
    def __init__(self, url):
        self.url = url


def test_all_users_of_a_url_share_its_engine():
    named = Named()
    one, other = named.at("redis://a", Engine), named.at("redis://b", Engine)
    assert named.at("redis://a", Engine) is one
    assert other is not one


def test_what_nobody_uses_any_more_is_made_anew():
    named, made = Named(), []

    def make(url):
        made.append(str(url))
        return Engine(url)

    named.at("redis://a", make)
    gc.collect()
    named.at("redis://a", make)
    assert len(made) == 2


def test_a_forked_child_waits_for_no_thread_of_its_parent():
    named = Named()
    with named._lock:  # as if another thread were just making one
        pid = os.fork()
        if not pid:
            threading.Timer(10, os._exit, (1,)).start()
            named.at("redis://a", Engine)
            os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
