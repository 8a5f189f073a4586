import time

from tasks import bake

result = bake.delay(5)
while not result.ready():
    if result.state == "BAKING":
        print(f"{result.result['done']} of {result.result['of']}")
    time.sleep(0.1)
print("baked:", result.get())
