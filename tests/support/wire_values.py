"""Hypothesis strategies for what travels on the wire: calls, messages, result documents."""

import datetime as dt

from hypothesis import strategies as st

from penstock.message import Message
from penstock.wire.result import READY_STATES, ResultDocument
from penstock.wire.task import Call, Embed, Header

TEXT = st.text(max_size=20)
NAMES = st.text(min_size=1, max_size=40)
ATOMS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT
TYPED = st.dates() | st.decimals(allow_nan=False) | st.uuids() | st.binary(max_size=20)
VALUES = st.recursive(
    ATOMS | TYPED,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)
# To the microsecond, which is what ISO text keeps.
MOMENTS = st.datetimes(
    dt.datetime(1980, 1, 1),  # noqa: DTZ001 - hypothesis wants bounds without zone
    dt.datetime(2200, 1, 1),  # noqa: DTZ001
    timezones=st.just(dt.UTC),
).map(dt.datetime.timestamp)
MAPS = st.dictionaries(TEXT, VALUES, max_size=3)
LISTS = st.lists(VALUES, max_size=3)
SECONDS = st.none() | st.integers(0, 10**6) | st.floats(0, 1e6)

_MEMBERS = {*Header.__struct_fields__, "lang", "compression", "redelivered"}
OWN_HEADERS = st.dictionaries(
    TEXT.filter(lambda name: name not in _MEMBERS and not name.startswith("penstock_")),
    VALUES,
    max_size=3,
)

CALLS = st.builds(
    Call,
    task=NAMES,
    id=NAMES,
    args=LISTS,
    kwargs=MAPS,
    eta=st.none() | MOMENTS,
    expires=st.none() | MOMENTS,
    retries=st.integers(0, 100),
    timelimit=st.tuples(SECONDS, SECONDS),
    root_id=NAMES,
    parent_id=st.none() | NAMES,
    group=st.none() | NAMES,
    group_index=st.none() | st.integers(0, 1000),
    shadow=st.none() | TEXT,
    origin=st.none() | TEXT,
    ignore_result=st.none() | st.booleans(),
    replaced_task_nesting=st.integers(0, 5),
    stamped_headers=st.none() | st.lists(TEXT, max_size=3),
    stamps=MAPS,
    argsrepr=TEXT,
    kwargsrepr=TEXT,
    reply_to=st.none() | TEXT.filter(bool),
    headers=OWN_HEADERS,
    embed=st.builds(
        Embed,
        callbacks=st.none() | LISTS,
        errbacks=st.none() | LISTS,
        chain=st.none() | LISTS,
        chord=st.none() | MAPS,
    ),
)

PROPERTIES = st.fixed_dictionaries(
    {"content_type": st.just("application/json"), "content_encoding": st.just("utf-8")},
    optional={"reply_to": TEXT, "origin": TEXT, "delivery_mode": st.sampled_from([1, 2])},
)

ANY_MESSAGES = st.builds(
    Message,
    id=NAMES,
    queue=NAMES,
    headers=st.dictionaries(TEXT, VALUES, max_size=4),
    body=st.binary(max_size=60),
    priority=st.integers(0, 9),
    key=NAMES,
    properties=PROPERTIES,
)


@st.composite
def documents(draw):
    status = draw(st.sampled_from(sorted(READY_STATES)) | NAMES)
    extended = {}
    if draw(st.booleans()):
        extended = {
            "name": draw(NAMES),
            "args": draw(LISTS),
            "kwargs": draw(MAPS),
            "worker": draw(st.none() | NAMES),
            "retries": draw(st.none() | st.integers(0, 100)),
            "queue": draw(st.none() | NAMES),
        }
    if draw(st.booleans()):
        stamps = draw(MAPS)
        taken = ResultDocument.__struct_fields__
        extended["stamps"] = {k: v for k, v in stamps.items() if k not in taken}
        extended["stamped_headers"] = list(extended["stamps"])
    return ResultDocument(
        task_id=draw(NAMES),
        status=status,
        result=draw(VALUES),
        traceback=draw(st.none() | TEXT),
        children=draw(st.none() | LISTS),
        date_done=draw(MOMENTS) if status in READY_STATES else None,
        group_id=draw(st.none() | NAMES),
        parent_id=draw(st.none() | NAMES),
        **extended,
    )
