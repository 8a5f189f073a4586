"""No recorded sample is forgotten: each is read by a test here or belongs elsewhere, by name."""

from wire_samples import names

# What Celery and Redis were recorded at, by the part of the wire it shows.
EVENTS = """
    event-multi event-multi-task-failed event-multi-task-received
    event-multi-task-retried event-multi-task-revoked-expired event-multi-task-revoked-terminated
    event-multi-task-started event-multi-task-succeeded event-task-custom event-task-sent
    event-worker-heartbeat event-worker-offline event-worker-online
"""
REMOTE_CONTROL = """
    pidbox-active pidbox-active_queues pidbox-add_consumer pidbox-autoscale pidbox-bad-arguments
    pidbox-cancel_consumer pidbox-clock pidbox-conf pidbox-disable_events pidbox-enable_events
    pidbox-heartbeat-cast pidbox-hello pidbox-pattern pidbox-ping pidbox-ping-destination
    pidbox-pool_grow pidbox-pool_restart pidbox-pool_shrink pidbox-query_task pidbox-rate_limit
    pidbox-rate_limit-unknown pidbox-registered pidbox-report pidbox-reserved pidbox-revoke
    pidbox-revoke-by-stamps pidbox-revoke-list pidbox-revoke-terminate pidbox-revoked
    pidbox-scheduled pidbox-shutdown pidbox-stats pidbox-time_limit pidbox-unknown-method
"""
COMMANDS = """
    amqp-quorum-client amqp-quorum-worker amqp-trace-maxprio amqp-trace-ping-client
    amqp-trace-ping-worker amqp-trace-publish amqp-trace-worker-start rpc-client trace-ack
    trace-chord trace-chord-chain trace-pidbox-ping trace-publish trace-restore trace-result-push
    trace-shutdown trace-topic trace-worker-start amqp-events
"""
NAMES_OF_KEYS = "key-binding key-prefix key-priority-steps key-result-prefix"
TABLES = "database database-extended"
NO_BYTES = "amqp-bad-input amqp-options"  # a log; a body that the recording changed
ELSEWHERE = f"{COMMANDS} {NAMES_OF_KEYS} {TABLES} {NO_BYTES}".split()

MESSAGES_AND_RESULTS = """
    amqp-message amqp-queue amqp-retry bad-args-not-list bad-bad-eta bad-bad-json-body
    bad-binary-enc bad-body-not-triple bad-body-utf8-encoding bad-disallowed-content-type
    bad-embed-null bad-kwargs-not-dict bad-minimal-headers bad-missing-args bad-naive-expired
    bad-no-body-encoding bad-no-delivery-tag bad-no-id bad-not-a-task bad-not-json-envelope
    bad-past-eta bad-proto1 bad-proto1-utc-eta bad-unknown-content-type bad-unknown-headers
    bad-unknown-task bad-z-eta key-after-shutdown key-unacked key-unacked-eta memcached
    msg-callback msg-chain msg-chain-steps msg-child-priority msg-children msg-chord
    msg-chord-steps msg-chord-unlock msg-chunks msg-countdown msg-errback msg-eta msg-eta-naive
    msg-expires msg-group msg-group-in-chain msg-ignore-task msg-immutable msg-kwargs msg-limits
    msg-links msg-map msg-pickle msg-priority msg-proto1 msg-queue msg-replace msg-replace-group
    msg-restored msg-retry msg-send-task msg-simple msg-stamps msg-starmap msg-types msg-zlib
    result-chain-error result-chain-last result-children result-chord-error result-expired
    result-extended result-extended-failure result-failure result-failure-custom
    result-failure-nested result-group-member result-groupmeta result-hard-limit
    result-ignore-result result-ignored result-progress result-rejected result-retry
    result-retry-out result-revoked result-soft-limit result-started result-success
    result-terminated result-types result-unserializable rpc-worker
"""
HERE = f"{MESSAGES_AND_RESULTS} {EVENTS} {REMOTE_CONTROL}".split()


def test_all_168_samples_are_accounted_for_once():
    assert len(HERE) + len(ELSEWHERE) == len({*HERE, *ELSEWHERE}) == 168


def test_every_sample_that_concerns_these_formats_is_at_hand():
    assert set(HERE) <= set(names(""))


def test_every_sample_at_hand_has_its_place():
    assert set(names("")) <= {*HERE, *ELSEWHERE}
