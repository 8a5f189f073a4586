"""What is wrong is said in one line, with exit code 2 and no traceback."""

import os
import subprocess
import sys

import pytest


def test_unknown_command_names_the_nearest(penstock):
    answer = penstock("staus")
    assert answer.refused
    assert "staus" in answer.err
    assert "status" in answer.err


def test_unknown_option(penstock, tasks):
    answer = penstock("-A", "tasks", "queues", "--jsn")
    assert answer.refused
    assert "--jsn" in answer.err


def test_unknown_module(penstock):
    answer = penstock("-A", "nosuch", "queues")
    assert answer.refused
    assert "nosuch" in answer.err


def test_unknown_attribute(penstock, tasks):
    answer = penstock("-A", "tasks:nosuch", "queues")
    assert answer.refused
    assert "nosuch" in answer.err


def test_a_module_without_an_app(penstock, folder):
    (folder / "empty.py").write_text("")
    answer = penstock("-A", "empty", "queues")
    assert answer.refused
    assert "empty" in answer.err


def test_unknown_scheme(penstock):
    answer = penstock("--broker", "sqlit:///x.db", "queues")
    assert answer.refused
    assert "sqlite://" in answer.err


def test_no_url_at_all(penstock):
    assert penstock("--broker", "jobs.db", "queues").refused


@pytest.mark.parametrize("command", ["queues", "status", "tend"])
def test_a_file_that_is_no_database(penstock, folder, command):
    (folder / "jobs.db").write_bytes(b"this is a letter to my aunt " * 500)
    answer = penstock("--broker", "sqlite:///jobs.db", command)
    assert answer.refused, answer
    assert "jobs.db" in answer.err


def test_a_folder_in_place_of_the_file(penstock, folder):
    (folder / "jobs.db").mkdir()
    answer = penstock("--broker", "sqlite:///jobs.db", "queues")
    assert answer.refused, answer
    assert "jobs.db" in answer.err


def test_nothing_named_and_nothing_there(penstock, folder):
    answer = penstock("queues")
    assert answer.refused
    assert "penstock.db" in answer.err
    assert list(folder.iterdir()) == []


def test_a_broker_that_only_its_own_process_sees(penstock):
    answer = penstock("--broker", "memory://", "queues")
    assert answer.refused
    assert "its own process" in answer.err


def test_unknown_folder(penstock):
    answer = penstock("--workdir", "nowhere", "queues")
    assert answer.refused
    assert "nowhere" in answer.err


def test_an_import_error_shows_the_module_s_own_traceback_once(penstock, folder):
    (folder / "broken.py").write_text("import json\n\njson.no_such_thing\n")
    answer = penstock("-A", "broken", "queues")
    assert answer.code == 2
    assert answer.err.startswith("Error: ")
    assert answer.err.count("Traceback") == 1
    assert answer.err.count("AttributeError") == 1
    assert 'broken.py", line 3' in answer.err
    assert "importlib" not in answer.err


def test_the_module_runs_as_a_program_with_the_same_exit_code(folder):
    done = subprocess.run(
        [sys.executable, "-m", "penstock", "-A", "nosuch", "queues"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("Error: ")
    assert done.stdout == ""


def test_a_reader_that_leaves_early_is_no_error(folder):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "penstock", "--help"],
        cwd=folder,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
