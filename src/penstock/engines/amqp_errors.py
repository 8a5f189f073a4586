"""What goes wrong with a RabbitMQ server, in our errors: what was (not) done, and the remedy."""

from __future__ import annotations

from penstock.errors import BrokerError, ConfigError, EncodeError, PenstockError, Unavailable

__all__ = ["Unsent", "code_of", "is_foreign", "refused", "said"]

ACCESS_REFUSED, PRECONDITION_FAILED, NOT_ALLOWED = 403, 406, 530
CONNECTION_FORCED, INTERNAL_ERROR = 320, 541

_REMEDIES: dict[int, tuple[type[PenstockError], str]] = {
    ACCESS_REFUSED: (
        ConfigError,
        (
            "give its user the permission to configure, write and read these queues and those that "
            "start with penstock (rabbitmqctl set_permissions)"
        ),
    ),
    NOT_ALLOWED: (
        ConfigError,
        (
            "name a virtual host that exists and that the URL's user may use "
            "(rabbitmqctl add_vhost, set_permissions)"
        ),
    ),
    PRECONDITION_FAILED: (BrokerError, "use the arguments that exist, or delete what is there"),
    CONNECTION_FORCED: (Unavailable, "the server is stopping; wait until it is back"),
    INTERNAL_ERROR: (Unavailable, "see its log"),
}


class Unsent(Exception):
    """The connection failed before anything was sent that could have been done."""


def said(error: BaseException) -> str:
    """What an error of the library or the system says, in one line."""
    text = getattr(error, "reply_text", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())


def code_of(error: BaseException) -> int:
    """The protocol's number of an error; 0 where it has none."""
    return int(getattr(error, "reply_code", None) or getattr(error, "code", 0) or 0)


def is_foreign(error: BaseException) -> bool:
    """True for what the library or the system raises when a connection or channel fails."""
    from amqp.exceptions import AMQPError, MessageNacked

    return isinstance(error, AMQPError | OSError | MessageNacked) and not isinstance(
        error, PenstockError
    )


def refused(error: BaseException, where: object) -> PenstockError:
    """The error for what the server said when it closed a connection or a channel."""
    text, code = said(error), code_of(error)
    head = f"RabbitMQ at {where} says: {text}"
    if code == 0 or "is down" in text:
        return Unavailable(f"the connection to RabbitMQ at {where} was lost: {text}")
    if code == PRECONDITION_FAILED and "larger than" in text:
        return EncodeError(f"{head}; send a reference to the data, or raise max_message_size")
    if code == ACCESS_REFUSED and "Login was refused" in text:
        return ConfigError(f"{head} The URL's user name or password is wrong")
    kind, remedy = _REMEDIES.get(code, (BrokerError, ""))
    return kind(f"{head}; {remedy}" if remedy else head)
