"""A line for the start of a run and one for its end; whoever follows reads whole lines only."""

import os

import pytest

from penstock.demo.journal import JOURNAL, Entry, Follower, noted


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def noted_pay(number):
    return noted("pay", number, task="id-1", parent=None, attempt=2)


def test_start_and_end_are_noted(folder):
    with noted_pay(7):
        pass
    first, last = Follower(folder / JOURNAL).read()
    assert (first.step, first.order, first.task, first.parent) == ("pay", 7, "id-1", "-")
    assert (first.edge, last.edge) == ("start", "end")
    assert (first.pid, first.attempt) == (os.getpid(), 2)
    assert first.at <= last.at


def test_a_run_that_fails_has_no_end(folder):
    with pytest.raises(ValueError, match="no money"), noted_pay(7):
        raise ValueError("no money")
    assert [entry.edge for entry in Follower(folder / JOURNAL).read()] == ["start"]


def test_the_follower_waits_for_the_rest_of_a_line(folder):
    line = Entry(1, 2, "pay", 3, "id", "-", 1, "start").line()
    path = folder / JOURNAL
    follower = Follower(path)
    assert follower.read() == []  # not there yet
    path.write_bytes(line[:5])
    assert follower.read() == []
    path.write_bytes(line)
    assert [entry.order for entry in follower.read()] == [3]
    assert follower.read() == []
