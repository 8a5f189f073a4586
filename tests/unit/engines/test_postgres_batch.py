"""What stands together in one statement."""

from penstock.engines.postgres_batch import apart


def test_no_name_stands_twice_in_a_statement():
    assert list(apart(["a", "b", "a", "c", "ca"])) == [[0, 1], [2, 3], [4]]
    assert list(apart([])) == []


def test_a_statement_has_an_end():
    groups = list(apart((number,) for number in range(1201)))
    assert [len(group) for group in groups] == [500, 500, 201]
    assert [place for group in groups for place in group] == list(range(1201))
