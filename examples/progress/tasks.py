import time

from penstock import App

app = App("tasks")


@app.task(bind=True)
def bake(self, loaves: int) -> str:
    for done in range(loaves):
        self.update_state(state="BAKING", meta={"done": done, "of": loaves})
        time.sleep(0.1)
    return f"{loaves} loaves"
