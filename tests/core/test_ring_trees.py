"""Small trees of built-in values take a way of their own; nobody can tell it from pickle's."""

import pytest

SHARED = [1]
CONSTANT = ("a", 2)


def deep(levels):
    tree = []
    for _ in range(levels):
        tree = [tree]
    return tree


@pytest.mark.parametrize(
    "tree",
    [
        *([], (), {}, [[]], ({},), {"a": ()}, [None, True, False], [127, 128, -128, -129, 2**63]),
        *([0.5, float("-inf")], {1: "a", "1": b"a", b"1": 1.0, None: 0, False: 1}, {2.5: []}),
        *(["é", "漢", "\U0001f600", "\ud800", "\0"], [b"\0\xff"], {"": {"": {"": ""}}}),
        *([CONSTANT, CONSTANT], {"k": CONSTANT}, [(1, [2])], deep(12), deep(40), list(range(5000))),
        *(["x" * 4000], ["x" * 5000], [b"y" * 5000], [{1, 2}], [bytearray(b"z")], {(1, 2): 3}),
    ],
    ids=lambda tree: repr(tree)[:40],
)
def test_a_tree_comes_back_equal_in_value_and_types(make_ring, tree):
    ring = make_ring()
    ring.put(tree)
    assert repr(ring.get()) == repr(tree)


def test_one_object_in_two_places_stays_one(make_ring):
    ring = make_ring()
    for tree in ([SHARED, SHARED], (SHARED, {"b": SHARED}), [(SHARED,), SHARED]):
        ring.put(tree)
    first, second, third = ring.get_many(3)
    assert first[0] is first[1]
    assert second[0] is second[1]["b"]
    assert third[0][0] is third[1]


def test_a_tree_that_holds_itself(make_ring):
    ring = make_ring()
    loop = [1]
    loop.append(loop)
    holder = {"inner": []}
    holder["inner"].append(holder)
    ring.put_many([loop, holder])
    first, second = ring.get_many(2)
    assert first[1] is first
    assert second["inner"][0] is second


def test_classes_of_ones_own_inside_a_tree_keep_their_class(make_ring):
    class_of = type(Special())
    ring = make_ring()
    ring.put([Special(a=1), {"b": Special()}])
    got = ring.get()
    assert type(got[0]) is class_of is type(got[1]["b"])
    assert got[0] == {"a": 1}


class Special(dict):
    pass
