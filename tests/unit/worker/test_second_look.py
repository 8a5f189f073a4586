"""What the store says of a message decides whether it begins, where the broker cannot know."""

from penstock.brokers.base import Capabilities
from penstock.message import Lease, Message, Record, key_after
from penstock.worker.second_look import asks, sift

PULLS = Capabilities(revokes=False, settles_surely=False)


def lease(attempt=1, key="publication"):
    message = Message(id="one", queue="q", headers={}, body=b"", key=key)
    return Lease(message, attempt=attempt, until=0.0, fence=1)


def record(state="SUCCESS", key="publication", *, final=True):
    return Record("one", state, b"{}", key=key, attempt=1, final=final)


def test_nothing_is_asked_of_the_store_where_the_broker_knows():
    assert not asks(Capabilities(), [lease(attempt=2)])


def test_a_broker_without_revoked_ids_has_them_looked_up():
    assert asks(PULLS, [lease()])
    assert not asks(PULLS, [])


def test_a_broker_that_loses_acknowledgements_has_repeats_looked_up():
    able = Capabilities(settles_surely=False)
    assert not asks(able, [lease()])
    assert asks(able, [lease(), lease(attempt=2)])


def test_what_ended_before_does_not_run_again():
    again = lease(attempt=2)
    seen = sift([again], [record()])
    assert (seen.open, seen.ended) == ([], [again])


def test_an_older_publication_s_end_is_not_its_own():
    retry = lease(attempt=2, key="another")
    assert sift([retry], [record()]).open == [retry]


def test_what_came_without_a_key_may_have_been_sent_twice():
    first, again = lease(attempt=1, key="one.0"), lease(attempt=2, key="one.0")
    seen = sift([first, again], [record(key="one.0"), record(key="one.0")])
    assert (seen.open, seen.ended) == ([first], [again])


def test_what_was_stored_twice_does_not_run_twice():
    copy = lease(attempt=1)
    assert sift([copy], [record()]).ended == [copy]


def test_a_run_that_asked_for_a_retry_is_over_once_the_retry_has_told_something():
    again = lease(attempt=2)
    retry = key_after(again.message.key)
    for told in (record(key=retry), record("STARTED", key=retry, final=False)):
        assert sift([again], [told]).ended == [again]


def test_a_retry_is_over_once_its_task_has_ended_without_it():
    retry = lease(attempt=1, key=key_after("publication"))
    assert sift([retry], [record()]).ended == [retry]
    assert sift([retry], [record("RETRY", final=False)]).open == [retry]


def test_what_is_not_over_runs_again():
    again, other = lease(attempt=2), lease(attempt=2, key="other")
    seen = sift([again, other], [record("STARTED", final=False), None])
    assert seen.open == [again, other]


def test_two_copies_that_come_together_do_not_run_side_by_side():
    """A storm met it: a retry was published twice, and one claim got both."""
    first, copy = lease(attempt=1), lease(attempt=2)
    seen = sift([first, copy], [None, None])
    assert (seen.open, seen.copies) == ([first], [copy])
    assert sift([copy], [record()]).ended == [copy]  # when it comes again


def test_what_came_without_a_key_is_no_copy():
    first, again = lease(key="one.0"), lease(key="one.0")
    assert sift([first, again], [None, None]).open == [first, again]


def test_a_revocation_is_marked():
    (marked,) = sift([lease()], [record("REVOKED", key="")]).open
    assert marked.revoked


def test_the_end_of_a_revoked_run_is_an_end():
    again = lease(attempt=2)
    assert sift([again], [record("REVOKED")]).ended == [again]
