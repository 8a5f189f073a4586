from multiprocessing import Process

from penstock import Pipe


def double(end, other):
    other.close()  # a forked process has both: only then is the other's end noticed
    try:
        while True:
            end.send(2 * end.recv())
    except EOFError:
        print("the other end is closed")


def main():
    here, there = Pipe()  # duplex=True: both ends send and receive
    process = Process(target=double, args=(there, here))
    process.start()
    there.close()
    for number in range(1, 10):
        here.send(number)
        print(f"{number} doubled is {here.recv()}", flush=True)
    here.close()
    process.join()


if __name__ == "__main__":
    main()
