"""The memory of a pipe: what is refused, and that none is left."""

import fcntl
import os
import struct
import sys
from pathlib import Path

import pytest

import pipe_calls

if sys.platform != "linux":
    pytest.skip("the C core is Linux's", allow_module_level=True)

MAGIC, LAYOUT = 0, 8  # offsets in the header


@pytest.fixture
def core():
    return "native"


@pytest.fixture
def attach(module, make_pipe):
    """`attach(memory)`: an end at this memory file, with the sockets of a good pipe."""

    def make(memory):
        _, good = make_pipe()
        _, inbound, outbound = good._descriptors
        parts = [os.dup(fd) for fd in (memory, inbound, outbound)]
        try:
            return module.Connection((*parts, 1))
        except BaseException:
            for part in parts:
                os.close(part)
            raise

    return make


def test_memory_is_private_sealed_and_all_there(pair):
    memory = pair[0]._descriptors[0]
    stat = os.fstat(memory)
    assert stat.st_blocks * 512 >= stat.st_size > 2 * 256 * 1024
    assert stat.st_nlink == 0
    seals = fcntl.fcntl(memory, fcntl.F_GET_SEALS)
    assert seals & fcntl.F_SEAL_SHRINK
    with pytest.raises(PermissionError):
        os.ftruncate(memory, 4096)
    assert not any(os.get_inheritable(fd) for fd in pair[0]._descriptors)


def test_good_memory_is_taken(pair, attach):
    attach(pair[0]._descriptors[0]).close()


def test_any_other_file_is_refused(attach):
    memory = os.memfd_create("other", os.MFD_ALLOW_SEALING)
    with pytest.raises(OSError, match="not the memory of a pipe"):
        attach(memory)
    os.ftruncate(memory, 1 << 20)
    fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    with pytest.raises(OSError, match="not the memory of a pipe"):
        attach(memory)
    os.close(memory)


def write(memory, offset, number):
    os.pwrite(memory, struct.pack("=I", number), offset)


def test_memory_of_another_version_is_refused(pair, attach):
    memory = pair[0]._descriptors[0]
    write(memory, LAYOUT, 99)
    with pytest.raises(OSError, match="another version"):
        attach(memory)
    write(memory, MAGIC, 0)
    with pytest.raises(OSError, match="not the memory of a pipe"):
        attach(memory)


@pytest.mark.parametrize("capacity", [0, 1, 4097, 1 << 19, 1 << 40])
def test_sizes_that_do_not_fit_are_refused(pair, attach, capacity):
    memory = pair[0]._descriptors[0]
    offset = next(
        at for at in range(0, 64, 8) if os.pread(memory, 8, at) == struct.pack("=Q", 256 * 1024)
    )
    os.pwrite(memory, struct.pack("=Q", capacity), offset)
    with pytest.raises(OSError, match="not the memory of a pipe"):
        attach(memory)


def test_damage_is_an_error_and_ends_the_reading(pair):
    left, right = pair
    memory = left._descriptors[0]
    left.send("good")
    left.send("bad")
    assert right.recv() == "good"
    size = os.fstat(memory).st_size
    content = os.pread(memory, size, 0)
    at = content.index(b"bad") - 8
    write(memory, at, 0x7FFFFFFF)
    with pytest.raises(OSError, match="damaged"):
        right.recv()
    assert not right.readable


def test_no_room_for_the_ring(module):
    import resource

    before = len(pipe_calls.descriptors())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            module.Pipe()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(pipe_calls.descriptors()) == before


def test_pipes_leave_no_mapping(module):
    def mapped():
        return Path("/proc/self/maps").read_text().count("penstock-pipe")

    before = mapped()
    for _ in range(3):
        left, right = module.Pipe()
        left.send(b"x" * 5000)
        left.close()
        assert mapped() > before
        right.close()
    assert mapped() == before
