import math

from penstock.engines.fading import Fading


def test_a_value_ends_at_its_time():
    fading = Fading()
    fading.set("a", 1, end=10.0, now=0.0)
    assert fading.get("a", 9.9) == 1
    assert fading.get("a", 10.0) is None


def test_what_has_ended_leaves_memory():
    fading = Fading()
    for number in range(100):
        fading.set(f"{number}", number, end=10.0, now=0.0)
    fading.set("late", 0, end=20.0, now=10.0)
    assert len(fading) == 1


def test_setting_again_moves_the_end():
    fading = Fading()
    fading.set("a", 1, end=10.0, now=0.0)
    fading.set("a", 2, end=20.0, now=5.0)
    fading.sweep(15.0)
    assert fading.get("a", 15.0) == 2


def test_a_value_without_end_stays():
    fading = Fading()
    fading.set("a", 1, end=math.inf, now=0.0)
    fading.sweep(1e12)
    assert fading.get("a", 1e12) == 1


def test_past_the_limit_the_oldest_leaves():
    fading = Fading(limit=2)
    for key in "abac":
        fading.set(key, key, end=10.0, now=0.0)
    assert [fading.get(key, 0.0) for key in "abc"] == ["a", None, "c"]


def test_values_come_newest_first():
    fading = Fading()
    for key in "abca":
        fading.set(key, key, end=10.0, now=0.0)
    assert list(fading.values(0.0)) == ["a", "c", "b"]


def test_popped_is_gone():
    fading = Fading()
    fading.set("a", 1, end=10.0, now=0.0)
    assert fading.pop("a", 0.0) == 1
    assert fading.pop("a", 0.0) is None


def test_writing_one_key_for_ever_takes_no_memory():
    fading = Fading()
    for number in range(10_000):
        fading.set("a", number, end=1e9 + number, now=0.0)
    assert len(fading._marks) < 200
