"""Names of tasks, and the nearest to a wrong one."""

import functools
import importlib.util
import sys

import pytest

from penstock import App, ConfigError


def test_a_task_is_named_by_its_module_and_function():
    app = App("tasks")

    @app.task
    def add(x, y):
        return x + y

    assert add.name == f"{__name__}.add"
    assert app.tasks[add.name] is add


def script_function(module="__main__"):
    def add():
        return None

    add.__module__ = module
    return add


def test_a_script_s_tasks_are_named_by_the_app():
    assert App("tasks").task(script_function()).name == "tasks.add"


def test_without_a_name_of_the_app_a_script_s_file_names_them(monkeypatch):
    monkeypatch.setattr(sys.modules["__main__"], "__file__", "/shop/trigger.py", raising=False)
    assert App().task(script_function()).name == "trigger.add"


def test_a_name_of_one_s_own():
    assert App("tasks").task(name="shop.pay")(script_function()).name == "shop.pay"


def test_two_functions_under_one_name_are_refused():
    app = App("tasks")
    app.task(name="add")(script_function())
    with pytest.raises(ConfigError, match=r"two functions are registered as 'add'.*name=") as info:
        app.task(name="add")(script_function())
    assert "test_names.py" in str(info.value)


def test_a_module_that_is_imported_again_replaces_its_tasks(tmp_path):
    file = tmp_path / "again.py"
    file.write_text("def register(app):\n    return app.task(add)\ndef add():\n    return 1\n")
    app = App("tasks")
    tasks = []
    for _ in range(2):
        spec = importlib.util.spec_from_file_location("again", file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        tasks.append(module.register(app))
    assert tasks[0] is not tasks[1]
    assert app.tasks["again.add"] is tasks[1]


def test_an_unregistered_name():
    from penstock import NotRegistered

    with pytest.raises(NotRegistered, match=r"'tasks\.nobody'"):
        App("tasks").tasks["tasks.nobody"]


def test_a_callable_without_a_name_needs_one():
    app = App("tasks")
    function = functools.partial(print, 1)
    with pytest.raises(ConfigError, match="name="):
        app.task(function)
    assert app.task(name="show")(function).name == "show"
