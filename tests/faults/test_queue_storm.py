"""A slice of the queues' kill storm: `python tests/support/queue_storm.py` runs the whole of it."""

import pytest

from queue_storm import Storm
from queue_storm_crew import CORRUPT, DONE, GOT, PUT, RECORD
from queue_storm_verdict import Verdict, judge, percentile


def test_nothing_but_what_the_dead_held_is_lost_and_all_others_go_on(tmp_path):
    verdict = Storm(tmp_path, kills=60, seed=7, patience=10.0).run()
    assert verdict.clean(), (verdict.row(), verdict.errors)
    assert verdict.kills == 60
    assert percentile(verdict.every, 99) < 2.0


def records(folder, **of):
    """`_1=[(PUT, 1, 0)]`: process 1 wrote that it put its item 0."""
    for name, lines in of.items():
        data = b"".join(RECORD.pack(*line, 0) for line in lines)
        (folder / name.removeprefix("_")).write_bytes(data)


def judged(folder, *killed, alive=True, **of):
    records(folder, **of)
    verdict = Verdict("penstock", said=0, joined=True)
    judge(verdict, folder, {str(number) for number in killed}, alive=alive)
    return verdict


PUT_TWO = [(PUT, 1, 0), (PUT, 1, 1)]
GOT_TWO = [(GOT, 1, 0), (DONE, 1, 0), (GOT, 1, 1), (DONE, 1, 1)]


def test_the_judge_passes_what_is_right(tmp_path):
    verdict = judged(tmp_path, _1=PUT_TWO, _2=GOT_TWO)
    assert verdict.clean()
    assert (verdict.put, verdict.got) == (2, 2)


@pytest.mark.parametrize(
    ("got", "field"),
    [
        (GOT_TWO[:2], "lost"),
        ([*GOT_TWO, (GOT, 1, 1)], "twice"),
        ([*GOT_TWO, (CORRUPT, 0, 0)], "corrupt"),
        ([*GOT_TWO[2:], *GOT_TWO[:2]], "disorder"),
        ([*GOT_TWO, (GOT, 1, 2)], "unknown"),
    ],
)
def test_the_judge_sees_what_is_wrong(tmp_path, got, field):
    verdict = judged(tmp_path, _1=PUT_TWO, _2=got)
    assert getattr(verdict, field) == 1
    assert not verdict.clean()


def test_what_the_dead_did_not_write_down_is_no_fault(tmp_path):
    verdict = judged(tmp_path, 1, 2, _1=PUT_TWO[:1], _2=GOT_TWO[:3])
    verdict.said = 1  # got and not reported as done
    assert verdict.clean()


def test_a_loss_that_the_queue_does_not_count_is_a_fault(tmp_path):
    verdict = judged(tmp_path, 2, _1=PUT_TWO, _2=GOT_TWO[:2])
    assert not verdict.clean()
    verdict.said = 1
    assert verdict.clean()


def test_what_stays_in_a_dead_queue_is_counted_apart(tmp_path):
    verdict = judged(tmp_path, alive=False, _1=PUT_TWO)
    assert (verdict.lost, verdict.stranded) == (0, 2)
