"""The ring alone, without Python, under the sanitizers."""

import pytest

SANITIZERS = {
    "address": ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"],
    "thread": ["-fsanitize=thread"],
}


@pytest.mark.parametrize("sanitizer", SANITIZERS)
@pytest.mark.parametrize(("producers", "consumers"), [(1, 1), (3, 3)])
def test_threads_at_one_small_ring(build, run, sanitizer, producers, consumers):
    program = build("ring_threads", *SANITIZERS[sanitizer])
    told = run(program, producers, consumers, 5000)
    assert told == f"{producers * 5000} items\n"


@pytest.mark.parametrize("seed", range(2))
def test_damaged_memory_is_noticed_and_never_followed(build, run, seed):
    assert "damaged" in run(build("ring_damage", *SANITIZERS["address"]), seed, 300)
