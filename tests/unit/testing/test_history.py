"""The checker itself: a history without fault passes, and each planted fault is found."""

import os
import threading

import pytest

from penstock.testing.history import Recorder, Rules, judge, read

MS = 1_000_000
EXECUTOR, ZYGOTE, SUPERVISOR = 101, 11, 1
OTHER, OTHER_SUPERVISOR = 202, 2


class Told:
    """A history in the making: each word takes the moment (ms) at which it happened."""

    def __init__(self, **setup):
        self.events = []
        self.note(0, "setup", **{"lease": 3.0, "crash_limit": 3, **setup})
        self.note(0, "up", pid=EXECUTOR, zygote=ZYGOTE, supervisor=SUPERVISOR)
        self.note(0, "up", pid=OTHER, zygote=22, supervisor=OTHER_SUPERVISOR)

    def note(self, at, op, **fields):
        self.events.append({"at": at * MS + 1, "pid": 0, "op": op, **fields})
        return self

    def sent(self, at=1, task="a", phase="ok", **wishes):
        self.note(at, "send", phase="invoke", id=task, **wishes)
        return self.note(at, "send", phase=phase, id=task) if phase else self

    def ran(self, start, end=None, task="a", pid=EXECUTOR, run=None, **more):
        run = run or f"{pid}-{start}"
        self.note(start, "start", id=task, run=run, pid=pid, **more)
        return self.note(end, "end", id=task, run=run, pid=pid) if end is not None else self

    def got(self, at, run, task="a", good=True, **more):
        return self.note(at, "result", id=task, run=run, good=good, **more)

    def killed(self, at, *pids, kind="executor"):
        return self.note(at, "fault", kind=kind, pids=pids)

    def during(self, begin, end, kind, *pids):
        self.note(begin, "fault", kind=kind, pids=pids, key=(kind, begin), phase="begin")
        return self.note(end, "fault", kind=kind, key=(kind, begin), phase="end")

    def broken(self, **rules):
        return dict(judge(self.events, Rules(**rules)).broken)


def test_a_plain_run_is_clean():
    told = Told().sent().ran(2, 3).got(4, "101-2")
    report = judge(told.events)
    assert report.clean
    assert report.counts["acknowledged"] == report.counts["runs"] == 1
    assert list(report.lines())[-1].startswith("nothing broken; at 95 % fewer than 3.0e+00")


# --- lost, phantom, again after the end ------------------------------------------------------


def test_acknowledged_and_never_run_is_lost():
    assert Told().sent().broken() == {"lost": 1}


def test_run_to_its_end_and_never_recorded_is_lost():
    assert Told().sent().ran(2, 3).broken() == {"lost": 1}


@pytest.mark.parametrize("phase", ["info", None, "fail"])
def test_what_was_not_acknowledged_may_be_lost(phase):
    assert Told().sent(phase=phase).broken() == {}


@pytest.mark.parametrize("phase", ["info", None])
def test_what_may_have_been_stored_may_run(phase):
    assert Told().sent(phase=phase).ran(2, 3).got(4, "101-2").broken() == {}


def test_what_nobody_sent_is_a_phantom():
    assert Told().ran(2, 3).got(4, "101-2").broken() == {"phantom": 1}


def test_what_was_surely_not_stored_must_not_run():
    assert Told().sent(phase="fail").ran(2, 3).got(4, "101-2").broken() == {"phantom": 1}


def test_a_run_after_the_result_was_seen():
    told = Told().sent().ran(2, 3).got(4, "101-2").killed(5, EXECUTOR).ran(6, 7)
    assert told.broken()["rerun after settlement"] == 1


def test_unless_a_crash_came_between_result_and_acknowledgement():
    def told():
        return Told(atomic=False).sent().ran(2, 3).got(4, "101-2")

    assert told().killed(5, EXECUTOR).ran(6, 7).broken() == {}
    assert told().ran(6, 7).broken()["rerun after settlement"] == 1


# --- twice -----------------------------------------------------------------------------------


def twice(between=lambda told: told, **setup):
    told = Told(**setup).sent().ran(10)
    between(told)
    return told.ran(5000, 5001, pid=OTHER).got(5002, "202-5000")


@pytest.mark.parametrize(
    "between",
    [
        lambda told: told.killed(20, EXECUTOR),
        lambda told: told.killed(20, SUPERVISOR, kind="worker"),
        lambda told: told.killed(20, ZYGOTE, kind="zygote"),
        lambda told: told.killed(20, SUPERVISOR, kind="term"),
        lambda told: told.during(20, 3020, "stop", SUPERVISOR),
        lambda told: told.during(20, 3020, "cut"),
        lambda told: told.during(20, 3020, "server"),
    ],
)
def test_a_second_run_with_a_cause(between):
    told = twice(between)
    assert told.broken() == {}
    assert judge(told.events).counts["run twice with a cause"] == 1


@pytest.mark.parametrize(
    "between",
    [
        lambda told: told,
        lambda told: told.killed(20, OTHER),
        lambda told: told.killed(6000, EXECUTOR),
        lambda told: told.during(20, 1000, "stop", SUPERVISOR),  # shorter than the lease
        lambda told: told.during(20, 3020, "stop", OTHER_SUPERVISOR),
        lambda told: told.during(20, 1000, "cut"),
        lambda told: told.during(5500, 9000, "cut"),
    ],
)
def test_a_second_run_without_a_cause(between):
    assert twice(between).broken() == {"unexplained duplicate": 1}


def test_where_the_connection_is_the_lease_a_short_cut_is_a_cause():
    told = twice(lambda told: told.during(20, 30, "cut"), custody="connection")
    assert told.broken() == {}


def test_a_kill_long_after_the_end_is_no_cause():
    told = Told().sent().ran(10, 20).killed(3000, EXECUTOR)
    told.ran(3100, 3101, pid=OTHER).got(3102, "202-3100")
    assert told.broken() == {"unexplained duplicate": 1}


def test_unless_the_broker_was_away_and_it_could_not_be_settled():
    told = Told().sent().ran(10, 20).during(15, 2900, "server").killed(3000, EXECUTOR)
    told.ran(3100, 3101, pid=OTHER).got(3102, "202-3100")
    assert told.broken() == {}


@pytest.mark.parametrize(("third", "broken"), [(2800, {}), (3300, {"unexplained duplicate": 1})])
def test_nor_while_it_was_away_time_and_again(third, broken):
    """Two seconds and more, but never back for one before the worker was killed."""
    told = Told().sent().ran(10, 20).during(15, 900, "server").during(1700, 2000, "cut")
    told.during(third, 3400, "cut").killed(3900, EXECUTOR)
    told.ran(3950, 3960, pid=OTHER).got(3970, "202-3950")
    assert told.broken() == broken


def asked_twice(**setup):
    """Two runs, for the first was cut off, and each asks for a retry."""
    told = Told(custody="connection", **setup).sent().ran(10, 11)
    return told.during(12, 13, "cut").ran(20, 21, pid=OTHER)


@pytest.mark.parametrize(
    "again", [2005, 2015, 2040], ids=["while it runs", "before its end is stored", "looked before"]
)
def test_a_retry_that_two_runs_asked_for_may_be_there_twice_at_the_same_time(again):
    told = asked_twice(atomic=False).ran(2000, 2010, retry=1)
    told.ran(again, again + 10, pid=OTHER, retry=1).got(2030, "101-2000")
    assert told.broken() == {}


@pytest.mark.parametrize(
    ("again", "read", "atomic"),
    [(2121, 2020, False), (3111, 3130, False), (2005, 2020, True)],
    ids=["its end was read", "long after its end", "one step"],
)
def test_and_is_no_excuse_elsewhere(again, read, atomic):
    told = asked_twice(atomic=atomic).ran(2000, 2010, retry=1)
    told.ran(again, again + 10, pid=OTHER, retry=1).got(read, f"202-{again}")
    assert told.broken()["unexplained duplicate"] == 1


@pytest.mark.parametrize(
    ("cut", "atomic", "broken"),
    [((2, 5), False, {}), ((2, 5), True, {"unexplained duplicate": 1}), (None, False, 1)],
    ids=["its asking was cut off", "one step", "nothing happened"],
)
def test_a_retry_that_one_run_asked_for_twice(cut, atomic, broken):
    told = Told(custody="lease", atomic=atomic).sent().ran(1, 2)
    if cut:
        told.during(*cut, "cut")
    told.ran(2000, 2010, retry=1).ran(2005, 2015, pid=OTHER, retry=1).got(2020, "202-2005")
    assert told.broken() == (broken if cut else {"unexplained duplicate": broken})


def moved_twice(second=2005, *, attempts=(2, 2), atomic=False, kind="worker", at=500):
    told = Told(custody="lease", atomic=atomic).sent().killed(at, 4711, kind=kind)
    told.ran(2000, 2010, attempt=attempts[0])
    told.ran(second, second + 10, pid=OTHER, attempt=attempts[1])
    return told.got(2020, "101-2000")


@pytest.mark.parametrize("second", [2005, 2015, 2040])
def test_a_message_whose_mover_died_may_be_there_twice_at_the_same_time(second):
    assert moved_twice(second).broken() == {}


@pytest.mark.parametrize(
    "moved",
    [
        moved_twice(2130),
        moved_twice(attempts=(1, 1)),
        moved_twice(attempts=(2, 3)),
        moved_twice(atomic=True),
        moved_twice(kind="executor"),
        moved_twice(at=2002),
    ],
    ids=["its end was read", "first", "next", "one step", "no mover", "nobody died before"],
)
def test_and_its_mover_is_no_excuse_elsewhere(moved):
    assert moved.broken()["unexplained duplicate"] == 1


@pytest.mark.parametrize("atomic", [False, True])
def test_a_message_whose_sender_was_cut_off(atomic):
    told = Told(custody="lease", atomic=atomic).during(1, 2, "cut").sent()
    told.ran(3000, 3010).ran(3005, 3015, pid=OTHER).got(3020, "202-3005")
    assert told.broken() == ({"unexplained duplicate": 1} if atomic else {})


def test_a_retry_is_no_duplicate():
    told = Told().sent().ran(10, 20).ran(30, 40, retry=1).got(50, "101-30")
    assert told.broken() == {}


# --- at once, stale, wrong -------------------------------------------------------------------


def test_an_executor_that_outlives_its_supervisor():
    told = Told().sent().ran(10, 4000).killed(20, SUPERVISOR, kind="worker")
    told.ran(100, 200, pid=OTHER).got(300, "202-100")
    assert told.broken() == {"overlap": 1}


def test_two_at_once_after_a_lost_lease_are_allowed():
    told = Told().sent().ran(10, 5000).during(20, 4900, "stop", SUPERVISOR)
    told.ran(3500, 3600, pid=OTHER).got(3700, "202-3500")
    assert told.broken() == {}


def test_the_result_of_one_that_had_lost_its_lease():
    told = Told().sent().ran(10, 5000).during(20, 4900, "stop", SUPERVISOR)
    told.ran(3500, 3600, pid=OTHER).got(5100, "101-10")
    assert told.broken() == {"stale write": 1}


def test_a_wrong_result():
    assert Told().sent().ran(2, 3).got(4, "101-2", good=False).broken() == {"wrong result": 1}


def test_a_result_that_changes():
    told = Told().sent().ran(10, 20).killed(15, EXECUTOR).ran(30, 40, pid=OTHER)
    assert told.got(50, "202-30").got(60, "101-10").broken()["changed result"] == 1


def test_a_state_that_goes_back():
    told = Told().sent().ran(2, 3).got(4, "101-2")
    told.note(5, "state", id="a", state="SUCCESS").note(6, "state", id="a", state="STARTED")
    assert told.broken() == {"state went back": 1}


# --- order, dead letters, time ---------------------------------------------------------------


def lane(*starts):
    told = Told()
    for seq in range(len(starts)):
        told.sent(1 + seq, task=str(seq), lane="x", seq=seq)
    for seq, (start, attempt) in enumerate(starts):
        told.ran(start, start + 1, task=str(seq), attempt=attempt)
        told.got(start + 2, f"101-{start}", task=str(seq))
    return told


def test_first_deliveries_keep_their_order():
    assert lane((10, 1), (20, 1), (30, 1)).broken() == {}
    assert lane((10, 1), (30, 1), (20, 1)).broken() == {"order": 1}


def test_a_redelivery_may_overtake():
    assert lane((10, 1), (30, 2), (20, 1)).broken() == {}


def poisoned(runs, reason="its executor died"):
    told = Told().sent(poison=True)
    for number in range(runs):
        told.ran(10 + number)
    return told.note(90, "dead", id="a", reason=reason)


def test_poison_is_set_aside_at_its_limit():
    assert poisoned(3).broken() == {}
    assert poisoned(4).broken() == {"poison": 1}
    assert poisoned(3, reason="").broken() == {"dead letter": 1}


def test_poison_that_goes_round_for_ever():
    assert Told().sent(poison=True).ran(1).ran(2).broken()["poison"] == 1


def test_an_innocent_set_aside():
    told = Told().sent().ran(2).note(5, "dead", id="a", reason="its executor died")
    assert told.broken() == {"dead letter": 1}


def test_a_start_before_its_time():
    told = Told().sent(due=100.0).ran(2, 3, wall=99.0).got(4, "101-2")
    assert told.broken() == {"early": 1}


def test_silence_while_work_waits():
    told = Told().sent().ran(20_000, 20_001).got(20_002, "101-20000")
    assert told.broken() == {"silence": 1}
    assert told.broken(silence=None) == {}


def test_silence_while_the_broker_is_away_or_one_task_runs_long():
    away = Told().sent().during(2, 19_000, "server").ran(20_000, 20_001).got(20_002, "101-20000")
    assert away.broken() == {}
    assert Told().sent().ran(2, 30_000).got(30_001, "101-2").broken() == {}


def test_a_result_that_is_read_late_is_no_silence():
    assert Told().sent().ran(2, 3).got(20_000, "101-2").broken() == {}
    again = Told().sent().ran(2, 3).killed(4, EXECUTOR).ran(20_000, 20_001)
    assert again.got(20_002, "101-20000").broken() == {"silence": 1}


# --- growth, findings, recovery --------------------------------------------------------------


@pytest.mark.parametrize(("what", "step"), [("rss", 40_000), ("fds", 10), ("threads", 5)])
def test_a_process_that_grows(what, step):
    told = Told()
    for number in range(9):
        sample = {"rss": 50_000, "fds": 20, "threads": 1}
        told.note(number, "sample", of=SUPERVISOR, role="supervisor", **sample)
        told.events[-1][what] += number * step
    assert told.broken() == {"leak": 1}


def test_what_another_instrument_found():
    told = Told().note(1, "finding", check="integrity", ok=True)
    assert told.broken() == {}
    assert told.note(2, "finding", check="integrity", ok=False, text="page 7").broken() == {
        "integrity": 1
    }


def test_how_fast_things_come_back():
    told = twice(lambda told: told.killed(4000, EXECUTOR))
    told.note(4250, "up", pid=103, zygote=ZYGOTE, supervisor=SUPERVISOR)
    report = judge(told.events)
    assert report.p("executor", 99) == pytest.approx(1.0)
    assert report.p("slot", 50) == pytest.approx(0.25)
    assert report.p("worker", 50) is None
    assert told.broken(executor_rerun_p99=0.5) == {"too slow": 1}
    assert told.broken(slot_p99=0.3) == {}


def test_who_is_killed_twice_is_followed_once():
    told = Told().killed(1000, EXECUTOR).killed(1001, EXECUTOR)
    told.note(1020, "up", pid=103, zygote=ZYGOTE, supervisor=SUPERVISOR).killed(3000, 103)
    told.note(3020, "up", pid=104, zygote=ZYGOTE, supervisor=SUPERVISOR)
    assert judge(told.events).p("slot", 99) == pytest.approx(0.02)


def test_how_fast_a_server_is_used_again():
    told = Told().sent().during(1, 100, "server").ran(350, 351).got(352, "101-350")
    assert judge(told.events).p("server", 50) == pytest.approx(0.25)
    assert told.broken(server_back_p99=0.2) == {"too slow": 1}


def served_after(*between, at=350):
    told = Told().sent().during(10, 100, "server")
    for tell in between:
        tell(told)
    return judge(told.ran(at, at + 1).got(at + 2, f"101-{at}").events).times.get("server")


@pytest.mark.parametrize(
    "again",
    [
        lambda told: told.during(150, 250, "server"),
        lambda told: told.during(150, 250, "cut"),
        lambda told: told.during(150, 160, "cut").during(170, 250, "server"),
    ],
)
def test_the_clock_of_a_server_begins_anew_when_it_goes_once_more(again):
    assert served_after(again) == [pytest.approx(0.1)]


def test_a_line_that_is_cut_during_the_first_start_does_not_shorten_it():
    assert served_after(lambda told: told.during(340, 360, "cut")) == [pytest.approx(0.25)]


def test_a_cut_alone_says_nothing_of_a_server():
    told = Told().sent().during(10, 100, "cut").ran(350, 351).got(352, "101-350")
    assert "server" not in judge(told.events).times


def test_where_every_worker_was_struck_a_server_that_is_back_is_not_measured():
    def stop(told):
        told.during(20, 200, "stop", OTHER_SUPERVISOR)

    for kill in (
        lambda told: told.killed(5, SUPERVISOR, kind="worker"),
        lambda told: told.killed(150, ZYGOTE, kind="zygote"),
        lambda told: told.killed(120, SUPERVISOR, kind="term"),
    ):
        assert served_after(kill) == [pytest.approx(0.25)]  # the other was there
        assert served_after(kill, stop) is None
    # An executor comes back in no time, and who was stopped before is there again.
    early = lambda told: told.during(2, 5, "stop", OTHER_SUPERVISOR)  # noqa: E731
    assert served_after(lambda told: told.killed(120, EXECUTOR), stop) == [pytest.approx(0.25)]
    assert served_after(lambda told: told.killed(5, SUPERVISOR), early) == [pytest.approx(0.25)]


# --- the file --------------------------------------------------------------------------------


def test_many_writers_leave_whole_lines(tmp_path):
    recorder = Recorder(tmp_path / "history")

    def write(number):
        for place in range(200):
            recorder.note("state", id=f"{number}-{place}", state="x" * 100)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recorder.close()
    events = list(read(tmp_path / "history"))
    assert len({event["id"] for event in events}) == 800
    assert {event["pid"] for event in events} == {os.getpid()}


def test_a_line_that_was_cut_off_is_left_out(tmp_path):
    (tmp_path / "history").write_bytes(b'{"at": 1, "op": "setup"}\n{"at": 2, "o')
    assert [event["at"] for event in read(tmp_path / "history")] == [1]


@pytest.mark.parametrize(
    "line", [b"null", b"{", b'{"at": 1, "op": "x"}', b'{"op": "end"}', b"\xff"]
)
def test_a_line_that_is_no_event_is_named(tmp_path, line):
    path = tmp_path / "history"
    path.write_bytes(b'{"at": 1, "op": "setup"}\n' + line + b"\n")
    with pytest.raises(ValueError, match=f"line 2 of {path} is no event"):
        list(read(path))


@pytest.mark.parametrize(("spare", "read_as"), [(0, [1, 3]), (1, None)])
def test_a_line_is_torn_only_at_the_end_of_a_page(tmp_path, spare, read_as):
    torn = b'{"at": 2, "pid"'
    first = b'{"at": 1, "op": "setup", "text": "%s"}\n'
    fill = 4096 - len(first % b"") - len(torn) - spare
    path = tmp_path / "history"
    path.write_bytes(first % (b"x" * fill) + torn + b'{"at": 3, "op": "setup"}\n')
    if read_as is None:
        with pytest.raises(ValueError, match="line 2 of"):
            list(read(path))
    else:
        assert [event["at"] for event in read(path)] == read_as


def test_a_history_with_holes_is_not_clean():
    assert Told().note(1, "end", id="a", run="r").broken() == {"history": 1}
    told = Told().note(1, "fault", kind="stop", key="k", phase="end")
    assert told.broken() == {"history": 1}
