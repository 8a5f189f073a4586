"""Programs that use ProcessQueue, for its tests: `process_programs.py NAME ARGUMENT...`."""

import asyncio
import multiprocessing
import os
import signal
import sys
import threading
from contextlib import suppress

from penstock.errors import ShutDown
from penstock.queues import places
from penstock.queues.process import ProcessQueue

if "TEST_SHARED_MEMORY" in os.environ:  # where nobody else sweeps
    places._SHARED_MEMORY = os.environ["TEST_SHARED_MEMORY"]


def add_one(inbox, outbox):
    """A worker."""
    for number in inbox:
        outbox.put(number + 1)
        inbox.task_done()


def start_method(method):
    """Two workers that are started so."""
    context = multiprocessing.get_context(method)
    inbox, outbox = ProcessQueue(3), ProcessQueue()
    workers = [context.Process(target=add_one, args=(inbox, outbox)) for _ in range(2)]
    for worker in workers:
        worker.start()
    inbox.put_many(range(100))
    inbox.join()
    inbox.shutdown()
    for worker in workers:
        worker.join()
    print(sum(outbox.get_many(1000)), [worker.exitcode for worker in workers])


def relay(connection, queue):
    """Get a queue out of a connection, and one out of a queue."""
    connection.recv().put("through a connection")
    queue.get().put("through a queue")


def sent(method):
    """Queues that are sent to a process that runs already."""
    context = multiprocessing.get_context(method)
    ours, theirs = context.Pipe()
    way = ProcessQueue()
    process = context.Process(target=relay, args=(theirs, way))
    process.start()
    first, second = ProcessQueue(), ProcessQueue(name=f"sent-{os.getpid()}")
    ours.send(first)
    way.put(second)
    print(first.get(timeout=20), second.get(timeout=20))
    process.join()


def in_a_pool(method):
    """As an argument of a pool's initializer."""
    queue = ProcessQueue()
    with multiprocessing.get_context(method).Pool(1, queue.put, ("from the pool",)):
        print(queue.get(timeout=20))


def found(name):
    """Another process's queue."""
    with ProcessQueue(name=name) as queue:
        print(queue.get(timeout=20), queue.maxsize, queue.max_bytes)
        queue.put("answer")


def killed_with(name, size):
    """Make a queue, or find it; put a large item in, say so, and be killed."""
    queue = ProcessQueue(name=name or None)
    queue.put(bytes(int(size)))
    print(os.path.basename(queue.segment.key), flush=True)
    signal.pause()


def left_to_the_interpreter(name):
    """End with the queue open, and a daemon thread and a task that wait in it."""
    queue = ProcessQueue(name=name)
    threading.Thread(target=queue.get, daemon=True).start()
    with suppress(TimeoutError):
        asyncio.run(asyncio.wait_for(queue.aget(), 0.01))
    print(len(queue.processes()))


def last_word(name):
    """Put, and end at once."""
    ProcessQueue(name=name).put_many(range(1000))


def in_main_only(name):
    """A named queue in a child that leaves as multiprocessing's do, after its parent closed it."""
    context = multiprocessing.get_context("fork")
    queue, gate = ProcessQueue(name=name), context.Event()

    def child():
        gate.wait()
        queue.put(1)

    process = context.Process(target=child)
    process.start()
    queue.close()
    gate.set()
    process.join()
    folder = f"/dev/shm/penstock-{os.geteuid()}"
    print(os.path.exists(f"{folder}/queue.{name}"), process.exitcode)


def interrupted():
    """Ctrl-C while it waits."""
    queue = ProcessQueue()
    main = threading.main_thread().ident

    def press():
        while not queue.statistics()["waiting_get"]:
            pass
        signal.pthread_kill(main, signal.SIGINT)

    threading.Thread(target=press).start()
    try:
        queue.get()
    except KeyboardInterrupt:
        queue.put("goes on")
        print(queue.get())


def ended_by_shutdown():
    """A consumer that loops until the producer is done."""
    context = multiprocessing.get_context("fork")
    queue, results = ProcessQueue(), ProcessQueue()

    def consume():
        results.put(list(queue))
        try:
            queue.get()
        except ShutDown:
            results.put("shut down")

    process = context.Process(target=consume)
    process.start()
    queue.put_many("abc")
    queue.shutdown()
    print(results.get(timeout=20), results.get(timeout=20))
    process.join()


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
