"""Items larger than half of the queue: files in the private folder."""

import errno
import os
import resource
import stat

import pytest

from penstock.errors import Full, QueueError, ShutDown
from penstock.queues.places import Folder, private_folder
from penstock.queues.spill import Spill
from process_queues import Child, waiting
from thread_queues import Call

LARGE = b"large" * 20_000


def files(queue):
    """Those that belong to it."""
    try:
        names = os.listdir(private_folder().path)
    except FileNotFoundError:
        return []
    return [name for name in names if name.endswith("." + queue.segment.key)]


@pytest.mark.parametrize("named", [False, True])
def test_in_and_out(make, name, named):
    queue = make(name=name if named else None)
    queue.put(LARGE)
    queue.put([LARGE, LARGE])
    [first, second] = files(queue)
    found = os.stat(f"{private_folder().path}/{first}")
    assert stat.S_IMODE(found.st_mode) == 0o600
    assert queue.get() == LARGE
    assert files(queue) in ([first], [second])
    queue.put("behind")
    assert queue.get_many(5) == [[LARGE, LARGE], "behind"]
    assert files(queue) == []
    assert queue.statistics()["spilled"] == 2


def test_only_what_is_too_large(queue):
    queue.put(bytes(32_000))
    assert files(queue) == []
    queue.put(bytes(33_000))
    assert len(files(queue)) == 1
    assert [len(queue.get()), len(queue.get())] == [32_000, 33_000]


def test_they_are_bounded_as_well(queue):
    queue.put(LARGE)
    queue.put(LARGE)
    with pytest.raises(Full):
        queue.put(LARGE, block=False)
    with pytest.raises(Full):
        queue.put(LARGE, timeout=0.001)
    assert len(files(queue)) == 2  # what did not go in left nothing
    call = Call(queue.put, LARGE)
    waiting(queue, put=1)
    assert queue.get() == LARGE
    call.result()


def test_what_did_not_go_in_leaves_nothing(queue):
    queue.shutdown()
    with pytest.raises(ShutDown):
        queue.put(LARGE)
    with pytest.raises(ShutDown):
        queue.put_many([LARGE, 1])
    assert files(queue) == []


def test_shutting_down_at_once_removes_them(queue):
    queue.put_many([LARGE, LARGE], block=False)
    assert len(files(queue)) == 2
    queue.shutdown(immediate=True)
    assert files(queue) == []


def test_between_processes(queue):
    def answer():
        queue.put(queue.get() + b"!")

    with Child(answer) as child:
        queue.put(LARGE)
        assert child.code() == 0
    assert queue.get() == LARGE + b"!"
    assert files(queue) == []


def test_the_last_who_closes_removes_them(make, name):
    for queue in (make(), make(name=name)):
        queue.put(LARGE)
        [file] = files(queue)
        assert Child(queue.close).code() == 0
        assert files(queue) == [file]
        queue.close()
        assert not os.path.exists(f"{private_folder().path}/{file}")


def test_a_lost_file_is_told(queue):
    queue.put(LARGE)
    queue.put("behind")
    [file] = files(queue)
    os.unlink(f"{private_folder().path}/{file}")
    with pytest.raises(QueueError, match=f"{file}.*lost"):
        queue.get()
    assert queue.get() == "behind"


def test_no_room_for_one(queue):
    """The limit of file sizes stands for a full disk."""

    def put():
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
        with pytest.raises(
            Full, match=r"no room for an item of 1000.* bytes in .*penstock"
        ) as caught:
            queue.put(LARGE)
        assert caught.value.__cause__.errno == errno.EFBIG
        queue.put("small")

    assert Child(put).code() == 0
    assert files(queue) == []
    assert queue.get() == "small"


def test_a_name_cannot_lead_out_of_the_folder(tmp_path):
    (tmp_path / "precious").write_bytes(b"data")
    box = tmp_path / "box"
    spill = Spill(Folder(str(box)), "key")
    name = spill.store([b"a", memoryview(b"b"), b""])
    assert spill.load(name) == b"ab"
    spill.drop(b"../precious")
    assert (tmp_path / "precious").exists()
    with pytest.raises(QueueError):
        spill.load(b"../precious")


def test_very_many_parts(tmp_path):
    spill = Spill(Folder(str(tmp_path / "box")), "key")
    assert spill.load(spill.store([b"x", b""] * 3000)) == b"x" * 3000


def test_the_folder_may_go_at_any_moment(tmp_path):
    folder = Folder(str(tmp_path / "box"))
    spill = Spill(folder, "key")
    for _ in range(3):
        spill.load(spill.store([b"data"]))
        with folder.locked():
            pass
        assert not os.path.exists(folder.path)
