"""How soon is a worker at work again after its Redis was killed and started? Seconds, 24 times.

python benchmarks/experiments/redis_return.py
"""

import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "support"))

from servers import RedisServer
from workers import Bench

TIMES = 24
AWAY = (0.0, 0.5, 2.0)  # seconds, in turn


def main():
    with RedisServer() as server, tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ["PENSTOCK_BROKER_URL"] = os.environ["PENSTOCK_RESULT_BACKEND"] = server.url()
        bench = Bench(Path(folder))
        tasks = bench.tasks()
        worker = bench.worker("-c", "1")
        tasks.add.delay(1, 1).get(timeout=20)
        took = []
        for number in range(TIMES):
            server.kill()
            time.sleep(AWAY[number % len(AWAY)])
            server.start()
            began = time.monotonic()
            tasks.add.delay(1, 1).get(timeout=20)
            took.append(time.monotonic() - began)
        worker.stop()
        bench.app.close()
    took.sort()
    print(f"p50 {took[TIMES // 2]:.2f} s, p90 {took[TIMES * 9 // 10]:.2f} s, most {took[-1]:.2f} s")


if __name__ == "__main__":
    main()
