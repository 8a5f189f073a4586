"""When the watchdog acts, in looks: pure counting."""

from penstock.worker.watchdog import LOOKS, Order, Suspicion


class Scene:
    """A worker as it is looked at: it turns, has room, and work waits, unless told otherwise."""

    def __init__(self):
        self.suspicion = Suspicion()
        self.turns = self.claims = self.asked = 0

    def look(self, *, turns=True, claims=0, room=True, waiting=True):
        self.turns += turns
        self.claims += claims

        def asked():
            self.asked += 1
            return waiting

        return self.suspicion.look(turns=self.turns, claims=self.claims, room=room, waiting=asked)

    def looks(self, count, **how):
        return [order for _ in range(count) if (order := self.look(**how)) is not None]


def test_work_that_waits_beside_free_slots_first_reconnects_then_ends():
    scene = Scene()
    scene.look()
    assert scene.looks(LOOKS - 1) == []
    assert scene.look() is Order.RECONNECT
    assert scene.looks(LOOKS - 1) == []
    assert scene.look() is Order.EXIT


def test_a_claim_begins_it_anew():
    scene = Scene()
    scene.look()
    for _ in range(5):
        assert scene.looks(LOOKS - 1) == []
        assert scene.look(claims=1) is None


def test_full_slots_an_empty_queue_or_a_broker_that_is_away_are_no_reason():
    for innocent in ({"room": False}, {"waiting": False}):
        assert Scene().looks(10 * LOOKS, **innocent) == []


def test_the_broker_is_not_asked_while_messages_are_claimed():
    scene = Scene()
    scene.looks(20, claims=1)
    scene.looks(20, room=False)
    assert scene.asked == 0


def test_a_loop_that_does_not_come_round_ends_the_worker():
    scene = Scene()
    scene.look()
    assert scene.looks(2 * LOOKS - 1, turns=False) == []
    assert scene.look(turns=False) is Order.EXIT


def test_a_loop_that_hangs_is_not_asked_about_and_idle_turns_are_counted():
    scene = Scene()
    scene.suspicion = Suspicion(turn=100)
    scene.look()
    assert scene.looks(2 * LOOKS, turns=False) == [Order.RECONNECT, Order.EXIT]
    scene = Scene()
    scene.look()
    scene.looks(LOOKS, turns=False)
    assert scene.asked == 0


def test_a_loop_that_was_slow_is_forgiven():
    scene = Scene()
    scene.look()
    for _ in range(5):
        assert scene.looks(2 * LOOKS - 1, turns=False) == []
        assert scene.look(claims=1) is None
