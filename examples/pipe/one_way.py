from multiprocessing import Process

from penstock import Pipe


def send(sender):
    with sender:
        for number in range(1, 10):
            sender.send(number)
            print(f"sent {number}", flush=True)


def receive(receiver):
    with receiver:
        for _ in range(9):
            print(f"received {receiver.recv()}", flush=True)


def main():
    receiver, sender = Pipe(duplex=False)  # the first end only receives, the second only sends
    processes = [Process(target=send, args=(sender,)), Process(target=receive, args=(receiver,))]
    for process in processes:
        process.start()
    receiver.close()  # the processes have their own
    sender.close()
    for process in processes:
        process.join()


if __name__ == "__main__":
    main()
