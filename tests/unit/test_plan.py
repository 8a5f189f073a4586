"""Plans: the same logic driven blocking and awaiting, errors handed in, two sharing a trip."""

import asyncio

import pytest

from penstock.plan import Exchange, Listen, Wait, adrive, drive, together


class Canned:
    """An engine that gives prepared replies; an exception among them is raised."""

    def __init__(self, *replies):
        self.replies = list(replies)
        self.names = []

    def execute(self, command):
        self.names.append(getattr(command, "name", command))
        reply = self.replies.pop(0)
        if isinstance(reply, BaseException):
            raise reply
        return reply

    async def aexecute(self, command):
        await asyncio.sleep(0)
        return self.execute(command)


class Running:
    """An engine that carries exchanges out, on one target."""

    def __init__(self, target):
        self.target = target
        self.exchanges = []

    def execute(self, command):
        self.exchanges.append(command)
        return command.run(self.target)

    async def aexecute(self, command):
        return self.execute(command)


def blocking(plan, engine):
    return drive(plan, engine)


def awaiting(plan, engine):
    return asyncio.run(adrive(plan, engine))


@pytest.fixture(params=[blocking, awaiting])
def run(request):
    return request.param


def exchange(name, **facts):
    return Exchange(name, lambda target: target, **facts)


def adding():
    one = yield exchange("first")
    two = yield exchange("second")
    return one + two


def mending():
    try:
        return (yield exchange("try"))
    except ConnectionError as error:
        again = yield exchange("again")
        return f"{again} after {error}"


def test_a_plan_gets_each_reply_and_gives_a_value(run):
    engine = Canned(2, 3)
    assert run(adding(), engine) == 5
    assert engine.names == ["first", "second"]


def test_a_plan_without_exchange_gives_its_value(run):
    def nothing():
        return 7
        yield

    assert run(nothing(), Canned()) == 7


def test_waiting_is_a_command_like_any_other(run):
    def heard():
        listener = yield Listen(("bell",))
        return (yield Wait(listener, 1.0))

    engine = Canned("listener", True)
    assert run(heard(), engine) is True
    assert engine.names == [Listen(("bell",)), Wait("listener", 1.0)]


def test_an_exchanges_error_is_raised_in_the_plan_which_may_mend_it(run):
    assert run(mending(), Canned(ConnectionError("cut"), "done")) == "done after cut"


def test_an_error_that_the_plan_does_not_mend_reaches_the_caller(run):
    engine = Canned(KeyError("x"))
    with pytest.raises(KeyError):
        run(mending(), engine)
    with pytest.raises(ConnectionError, match="twice"):
        run(mending(), Canned(ConnectionError("once"), ConnectionError("twice")))


def test_a_plan_is_closed_when_the_caller_is_interrupted(run):
    closed = []

    def guarded():
        try:
            yield exchange("first")
        finally:
            closed.append(True)

    with pytest.raises(KeyboardInterrupt):
        run(guarded(), Canned(KeyboardInterrupt()))
    assert closed == [True]


def test_a_cancelled_plan_is_closed():
    closed = []

    class Stuck:
        async def aexecute(self, command):
            await asyncio.Event().wait()

    def guarded():
        try:
            yield exchange("first")
        finally:
            closed.append(True)

    async def main():
        task = asyncio.ensure_future(adrive(guarded(), Stuck()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert closed == [True]


def test_two_plans_share_their_first_round_trip(run):
    def appending(*items):
        replies = []
        for item in items:
            replies.append(  # noqa: PERF401 - no yield in a comprehension
                (yield Exchange(item, lambda target, item=item: target.append(item) or item))
            )
        return replies

    target = []
    engine = Running(target)
    assert run(together(appending("a", "b"), appending("c")), engine) == (["a", "b"], ["c"])
    assert target == ["a", "c", "b"]
    assert [command.name for command in engine.exchanges] == ["a+c", "b"]


def test_what_is_joined_keeps_the_strongest_wish_and_every_bell_once(run):
    def one(command):
        return (yield command)

    engine = Running(None)
    weak = exchange("weak", writes=False, durable=False, rings=("x", "y"))
    strong = exchange("strong", rings=("y", "z"))
    run(together(one(weak), one(strong)), engine)
    joined = engine.exchanges[0]
    assert (joined.writes, joined.durable, joined.rings) == (True, True, ("x", "y", "z"))
    run(together(one(weak), one(weak)), engine)
    assert (engine.exchanges[1].writes, engine.exchanges[1].durable) == (False, False)


def test_after_the_shared_trip_each_plan_may_mend_its_own_errors(run):
    def later():
        yield exchange("first")
        return (yield from mending())

    engine = Canned(["r1", "r2"], ConnectionError("cut"), "done", "fine")
    assert run(together(later(), later()), engine) == ("done after cut", "fine")
    assert engine.names == ["first+first", "try", "again", "try"]


def test_a_failed_shared_trip_fails_both_and_closes_them(run):
    closed = []

    def guarded(name):
        try:
            yield exchange(name)
        finally:
            closed.append(name)

    with pytest.raises(ConnectionError):
        run(together(guarded("a"), guarded("b")), Canned(ConnectionError("cut")))
    assert sorted(closed) == ["a", "b"]


def test_plans_that_do_not_begin_with_an_exchange_cannot_share(run):
    def waiting():
        yield Listen(("bell",))

    with pytest.raises(TypeError, match="begin with an exchange"):
        run(together(waiting(), adding()), Canned())
