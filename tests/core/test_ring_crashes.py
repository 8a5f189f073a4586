"""A process dies at every store of the ring that others could see; the others go on."""


def test_every_crash_point_leaves_a_queue_that_is_exact_and_usable(build, run):
    told = run(build("ring_crash", "-DPENSTOCK_CRASH_POINTS"))
    assert told.count("died") == 13  # acts; the program itself fails on a point none reaches
