"""Exceptions on the wire: as themselves where that is safe, by their name where it is not."""

import json
import subprocess
import sys
import types

import pytest

from penstock import errors
from penstock.errors import TaskFailed
from penstock.wire.codec import dumps, loads
from penstock.wire.result import decode_result, exception_document, read_exception
from wire_samples import raw

CELERYS_NAMES = {
    "celery.exceptions": ["TaskRevokedError", "MaxRetriesExceededError", "NotRegistered"],
    "billiard.exceptions": ["TimeLimitExceeded", "SoftTimeLimitExceeded", "WorkerLostError"],
    "kombu.exceptions": ["EncodeError", "DecodeError"],
}
OURS = [(module, name) for module, names in CELERYS_NAMES.items() for name in names]


def sent(exception):
    return read_exception(loads(dumps(exception_document(exception))))


@pytest.mark.parametrize(("module", "name"), OURS)
def test_our_errors_travel_under_celerys_names(module, name):
    kind = getattr(errors, name)
    document = exception_document(kind("why"))
    assert document == {"exc_type": name, "exc_message": ["why"], "exc_module": module}
    back = read_exception(document)
    assert type(back) is kind
    assert back.args == ("why",)


@pytest.mark.parametrize("name", ["Retry", "Ignore", "Reject"])
def test_signals_travel_under_celerys_names(name):
    from penstock.tasks import signals

    kind = getattr(signals, name)
    document = exception_document(kind("why"))
    assert (document["exc_type"], document["exc_module"]) == (name, "celery.exceptions")
    assert type(read_exception(document)) is kind


class AppError(Exception):
    class Inner(ValueError):
        pass


@pytest.fixture
def shop(monkeypatch):
    """A module of the application, imported before the exception arrives."""
    module = types.ModuleType("shop")
    module.Sold = type("Sold", (Exception,), {"__module__": "shop"})
    module.Sold.Out = type("Out", (ValueError,), {"__module__": "shop", "__qualname__": "Sold.Out"})

    class Picky(Exception):
        def __init__(self, code, *, reason):
            super().__init__(code, reason)

    Picky.__module__, Picky.__qualname__ = "shop", "Picky"
    module.Picky = Picky
    monkeypatch.setitem(sys.modules, "shop", module)
    return module


def test_an_applications_exception_comes_back_as_itself(shop):
    for exception in (shop.Sold(42, "details"), shop.Sold.Out(1), ValueError("boom"), KeyError(1)):
        back = sent(exception)
        assert type(back) is type(exception)
        assert back.args == exception.args


def test_files_that_are_missing_come_back_as_what_they_were():
    back = sent(FileNotFoundError(2, "No such file", "x"))
    assert type(back) is FileNotFoundError
    assert back.errno == 2


def test_a_class_that_cannot_be_made_again_comes_back_by_its_name(shop):
    back = sent(shop.Picky(5, reason="no"))
    assert type(back) is TaskFailed
    assert (back.exc_module, back.exc_type, back.args) == ("shop", "Picky", (5, "no"))
    assert str(back) == "shop.Picky(5, 'no')"


def test_a_class_of_a_module_that_is_not_imported_comes_back_by_its_name():
    document = {"exc_type": "Error", "exc_message": ["boom"], "exc_module": "antigravity"}
    back = read_exception(document)
    assert type(back) is TaskFailed
    assert (back.exc_module, back.exc_type, back.args) == ("antigravity", "Error", ("boom",))
    assert "antigravity" not in sys.modules


def test_a_failure_that_is_passed_on_keeps_its_name():
    once = TaskFailed(42, exc_type="AppError", exc_module="elsewhere")
    assert exception_document(once) == {
        "exc_type": "AppError", "exc_message": [42], "exc_module": "elsewhere",
    }  # fmt: skip


CALLED = []


def record(*args):
    CALLED.append(args)


class Tempting:
    """No exception class, but callable."""

    def __init__(self, *args):
        CALLED.append(args)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"), ("builtins", "eval"), ("builtins", "print"), ("builtins", "dict"),
        ("subprocess", "Popen"), (__name__, "record"), (__name__, "Tempting"), ("os", "path"),
        ("os", "path.join"), ("builtins", "ValueError.__class__"), ("builtins", "object"),
        ("builtins", "ValueError.with_traceback"), ("builtins", ""), ("", "ValueError"),
        ("sys", "modules"), (__name__, "AppError..Inner"), ("builtins", "type"),
        # These would end the program that asked for the result.
        ("builtins", "SystemExit"), ("builtins", "KeyboardInterrupt"),
        ("builtins", "GeneratorExit"), ("asyncio.exceptions", "CancelledError"),
    ],
)  # fmt: skip
def test_what_is_no_exception_of_a_task_is_never_called(module, name):
    back = read_exception({"exc_type": name, "exc_message": ["echo x"], "exc_module": module})
    assert type(back) is TaskFailed
    assert (back.args, back.exc_type, back.exc_module) == (("echo x",), name, module)
    assert CALLED == []


def test_a_modules_and_a_classs_own_attribute_code_is_not_run(monkeypatch):
    asked = []

    class Meta(type):
        def __getattr__(cls, name):
            asked.append(name)
            return ValueError

    module = types.ModuleType("lazy")
    module.__getattr__ = lambda name: asked.append(name) or ValueError
    module.Kind = Meta("Kind", (Exception,), {})
    monkeypatch.setitem(sys.modules, "lazy", module)
    monkeypatch.setitem(sys.modules, "odd", Meta("Odd", (), {}))
    for where, name in (("lazy", "Missing"), ("lazy", "Kind.Missing"), ("odd", "Missing")):
        document = {"exc_type": name, "exc_message": [], "exc_module": where}
        assert type(read_exception(document)) is TaskFailed
    assert asked == []


def test_arguments_without_form_are_shown():
    class Shy:
        def __repr__(self):
            raise RuntimeError

    document = exception_document(ValueError(object, {1}, Shy(), b"ok", ValueError("inner")))
    shown, a_set, shy, plain, inner = document["exc_message"]
    assert (shown, a_set, plain, inner) == ("<class 'object'>", "{1}", b"ok", "ValueError('inner')")
    assert shy.endswith("Shy that cannot be shown>")
    json.loads(dumps(document))


@pytest.mark.parametrize(
    ("document", "args"),
    [
        (None, (None,)),
        ("boom", ("boom",)),
        ([1], ([1],)),
        ({}, ()),
        ({"exc_type": 5, "exc_module": [], "exc_message": "text"}, ("text",)),
        ({"exc_type": "X", "exc_message": {"a": 1}}, ({"a": 1},)),
    ],
)
def test_documents_of_a_wrong_shape_are_failures_too(document, args):
    back = read_exception(document)
    assert type(back) is TaskFailed
    assert back.args == args


def test_one_text_stands_for_one_argument():
    back = read_exception({"exc_type": "ValueError", "exc_message": "x", "exc_module": "builtins"})
    assert repr(back) == "ValueError('x')"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("result-failure", ValueError),
        ("result-failure-nested", RuntimeError),
        ("result-failure-custom", TaskFailed),
        ("result-chord-error", TaskFailed),
        ("result-expired", errors.TaskRevokedError),
        ("result-hard-limit", errors.TimeLimitExceeded),
        ("result-soft-limit", errors.SoftTimeLimitExceeded),
        ("result-retry-out", errors.MaxRetriesExceededError),
        ("result-revoked", errors.TaskRevokedError),
        ("result-terminated", errors.TaskRevokedError),
        ("result-unserializable", errors.EncodeError),
    ],
)
def test_what_celery_stored_is_read_and_written_alike(name, kind):
    document = decode_result(raw(name)).result
    back = read_exception(document)
    assert type(back) is kind
    assert list(back.args) == document["exc_message"]
    assert exception_document(back) == document


def test_reading_results_imports_nothing():
    program = f"""
import sys
from penstock.wire.result import decode_result, read_exception
loaded = []
before = set(sys.modules)
sys.addaudithook(lambda event, args: loaded.append(args[0]) if event == "import" else None)
for raw in {[raw("result-rejected"), raw("result-failure-custom"), raw("result-chord-error")]!r}:
    print(type(read_exception(decode_result(raw).result)).__name__)
assert not loaded, loaded
assert before == set(sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["TaskFailed"] * 3
