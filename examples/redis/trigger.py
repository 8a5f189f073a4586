import time

from tasks import add

result = add.delay(4, 4)
while not result.ready():
    time.sleep(0.1)
print("task id:", result.id)
print("task done:", result.get())
