from threading import Thread

from penstock import Queue


def is_even(number):
    return number % 2 == 0


def is_odd(number):
    return number % 2 == 1


def produce(queue):
    for number in range(1, 10):
        print(f"put {number}\n", end="")
        queue.put(number)


def consume(queue, name, match, count):
    for _ in range(count):
        number = queue.get(match=match)
        print(f"{name} got {number}\n", end="")
        queue.task_done()


def main():
    queue = Queue()
    threads = [
        Thread(target=consume, args=(queue, "even", is_even, 4)),
        Thread(target=consume, args=(queue, "odd", is_odd, 5)),
        Thread(target=produce, args=(queue,)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    queue.join()
    print("all done")


main()
