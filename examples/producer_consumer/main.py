from multiprocessing import Process

from penstock import ProcessQueue


def write(queue):
    for letter in "abcd":
        queue.put(letter)
        print(f"put {letter}", flush=True)


def read(queue):
    for letter in queue:  # until it is shut down and empty
        print(f"got {letter}", flush=True)
        queue.task_done()


def main():
    queue = ProcessQueue()
    writer = Process(target=write, args=(queue,))
    reader = Process(target=read, args=(queue,))
    writer.start()
    reader.start()

    writer.join()
    queue.shutdown()  # nothing more goes in; what is in it is still read
    reader.join()
    print("unfinished:", queue.statistics()["unfinished"])


if __name__ == "__main__":
    main()
