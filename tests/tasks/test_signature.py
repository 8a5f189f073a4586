"""Arguments are checked where they are sent."""

import functools
import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.tasks.signature import ArgumentCheck


def plain(x, y=1):
    pass


def none():
    pass


def positional_only(x, /, y):
    pass


def keyword_only(x, *, y):
    pass


def keyword_default(x, *, y=1):
    pass


def varargs(x, *rest):
    pass


def anything(*args, **kwargs):
    pass


@functools.wraps(plain)
def wrapped(*args, **kwargs):
    return plain(*args, **kwargs)


class Callable:
    def __call__(self, x):
        pass


FUNCTIONS = [
    plain,
    none,
    positional_only,
    keyword_only,
    keyword_default,
    varargs,
    anything,
    wrapped,
    Callable(),
    functools.partial(plain, 1),
]


def fits(function, args, kwargs):
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError:
        return False
    return True


@given(
    st.sampled_from(FUNCTIONS),
    st.booleans(),
    st.lists(st.none(), max_size=4),
    st.dictionaries(st.sampled_from("xyz"), st.none()),
)
def test_it_refuses_exactly_what_the_function_would_refuse(function, bound, args, kwargs):
    check = ArgumentCheck(function, "t", bound=bound)
    expected = fits(function, [*([None] if bound else []), *args], kwargs)
    try:
        check(args, kwargs)
    except TypeError:
        assert not expected
    else:
        assert expected


def test_the_error_names_the_task_and_the_argument():
    with pytest.raises(TypeError, match=r"tasks\.plain\(\): .*'z'"):
        ArgumentCheck(plain, "tasks.plain", bound=False)((1,), {"z": 2})


def test_the_task_itself_is_no_argument():
    check = ArgumentCheck(plain, "plain", bound=True)
    check((1,), {})
    with pytest.raises(TypeError):
        check((1, 2), {})
