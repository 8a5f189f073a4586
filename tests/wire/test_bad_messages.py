"""What each odd message gets: a run like any other, or one clear reason. Nothing crashes."""

import pytest

from penstock.errors import DecodeError
from penstock.wire.envelope import unpack
from penstock.wire.task import decode_call, read_header, readable_id
from wire_samples import names, raw

# These are run: by Celery's worker, and by ours.
FINE = {
    "bad-binary-enc": ("bn1", [1, 2]),
    "bad-body-utf8-encoding": ("bu1", [5, 6]),
    "bad-embed-null": ("en1", [1, 2]),
    "bad-minimal-headers": ("min1", [1, 2]),
    "bad-missing-args": ("ma1", [1]),
    "bad-naive-expired": ("ne1", [1, 2]),
    "bad-no-body-encoding": ("nb1", [5, 6]),
    "bad-no-delivery-tag": ("nd1", [1, 2]),
    "bad-past-eta": ("pe1", [1, 2]),
    "bad-proto1": ("p1", [3, 4]),
    "bad-proto1-utc-eta": ("p2", [3, 4]),
    "bad-unknown-headers": ("uh1", [1, 2]),
    "bad-unknown-task": ("u1", [1, 2]),
    "bad-z-eta": ("ze1", [1, 2]),
}
# name: the id that can be made out, the reason, and whether the headers alone show it.
REFUSED = {
    "bad-args-not-list": ("al1", "args are no list but str", False),
    "bad-bad-eta": ("be1", "its eta: 'not a date' is no ISO 8601 moment", True),
    "bad-bad-json-body": ("bj1", "its body: not JSON", False),
    "bad-body-not-triple": ("nt1", "its body is no list of arguments", False),
    "bad-disallowed-content-type": ("ct2", "content type is 'application/x-python-seri", True),
    "bad-kwargs-not-dict": ("kw1", "kwargs are no map but list", False),
    "bad-no-id": ("74f0dd47-bc9c-4c51-b74f-77dbe67c813e", "missing required field `id`", True),
    "bad-not-a-task": (None, "it is no task", True),
    "bad-unknown-content-type": ("ct1", "content type is 'application/x-nothing'", True),
}
NO_ENVELOPE = {"bad-not-json-envelope"}


def test_every_odd_message_is_here():
    assert set(names("bad-")) == {*FINE, *REFUSED, *NO_ENVELOPE}


@pytest.mark.parametrize("name", FINE)
def test_an_odd_message_that_can_be_run_is_read(name):
    task_id, args = FINE[name]
    message = unpack(raw(name), queue="celery")
    call = decode_call(message)
    assert (call.id, call.args, call.kwargs) == (task_id, args, {})
    assert message.id == readable_id(message) == read_header(message).id == task_id


@pytest.mark.parametrize("name", REFUSED)
def test_an_odd_message_that_cannot_be_run_gets_its_reason(name):
    task_id, reason, in_headers = REFUSED[name]
    message = unpack(raw(name), queue="celery")
    with pytest.raises(DecodeError) as caught:
        decode_call(message)
    assert reason in str(caught.value)
    assert readable_id(message) == task_id
    assert message.id == (task_id or message.key)
    if in_headers:
        with pytest.raises(DecodeError, match=r"^") as caught:
            read_header(message)
        assert reason in str(caught.value)
    else:
        assert read_header(message).id == task_id


@pytest.mark.parametrize("name", sorted(NO_ENVELOPE))
def test_what_is_no_envelope_is_refused(name):
    with pytest.raises(DecodeError, match="not JSON"):
        unpack(raw(name), queue="celery")


def test_without_delivery_tag_a_message_gets_a_key_of_its_own():
    one, two = (unpack(raw("bad-no-delivery-tag"), queue="celery") for _ in range(2))
    assert one.key
    assert one.key != two.key


@pytest.mark.parametrize(
    ("name", "eta", "expires"),
    [
        ("bad-z-eta", 1577836800.0, None),
        ("bad-past-eta", 1577836800.0, None),
        ("bad-proto1-utc-eta", 1577836800.0, None),
        ("bad-naive-expired", None, 1577836800.0),
    ],
)
def test_moments_are_read_with_z_with_an_offset_and_as_utc_without(name, eta, expires):
    message = unpack(raw(name), queue="celery")
    assert (read_header(message).eta, read_header(message).expires) == (eta, expires)
    assert (message.ready_at, message.expires_at) == (eta or 0.0, expires)


def test_protocol_1_tells_its_group_and_its_retries():
    header = read_header(unpack(raw("bad-proto1-utc-eta"), queue="celery"))
    assert (header.protocol, header.group, header.retries) == (1, "g1", 1)


def test_headers_of_others_are_kept_beside_the_protocols():
    assert decode_call(unpack(raw("bad-unknown-headers"), queue="q")).headers == {"something": "x"}
