"""Which files --reload looks at, and what counts as a change."""

import itertools
import os

from penstock.worker.reload import sources


def test_sources_are_the_py_files_below_without_what_is_not_ours(tmp_path):
    for name in (
        "tasks.py", "shop/mail.py", "shop/notes.txt", ".hidden/x.py", "env/lib/y.py",
        "shop/__pycache__/z.py",
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "env/pyvenv.cfg").touch()
    names = [os.path.relpath(path, tmp_path) for path in sources(tmp_path)]
    assert sorted(names) == ["shop/mail.py", "tasks.py"]


def test_a_touch_a_new_file_and_a_removed_one_are_changes(tmp_path):
    path = tmp_path / "tasks.py"
    path.write_text("1")
    states = [sources(tmp_path)]
    assert sources(tmp_path) == states[0]
    os.utime(path, ns=(1, 1))
    states.append(sources(tmp_path))
    (tmp_path / "other.py").touch()
    states.append(sources(tmp_path))
    path.unlink()
    states.append(sources(tmp_path))
    assert all(one != other for one, other in itertools.pairwise(states))
