"""What other processes do with durable queues in tests: importable by a process that is spawned."""


def double(queue, answers):
    """Take three numbers and answer each."""
    with queue, answers:
        for _ in range(3):
            with queue.take(timeout=30) as number:
                answers.put(number * 2)
