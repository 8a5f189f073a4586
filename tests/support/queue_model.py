"""What a queue should do, as simply as it can be said: threads act at once, tasks when they run.

A getter that is called has a claim to one item, a putter to one place; a task makes use of it in
``run``, which runs all tasks that are due, and may be cancelled before.
"""

from dataclasses import dataclass, field

SHUT_DOWN = "shut down"
DONE = "done"  # put or joined


@dataclass(eq=False)
class Wait:
    """One call that waits; ``outcome`` is None until it has one."""

    thread: bool
    item: object = None
    match: object = None
    refused: set = field(default_factory=set)
    outcome: object = None


class Model:
    def __init__(self, kind, maxsize):
        self.kind, self.maxsize = kind, maxsize
        self.items, self.unfinished, self.closed = [], 0, False
        self.getters, self.putters, self.joiners = [], [], []
        self.called, self.rooms, self.due = [], [], []

    @property
    def size(self):
        return len(self.items) - len(self.called)

    @property
    def full(self):
        return 0 < self.maxsize <= self.size + len(self.rooms)

    def in_turn(self, ahead):
        """The index of the next item."""
        if self.kind == "PriorityQueue":
            return self.items.index(min(self.items))
        return -1 if self.kind == "LifoQueue" else ahead

    def best_match(self, match):
        order = {"Queue": list, "LifoQueue": reversed, "PriorityQueue": sorted}[self.kind]
        return next((item for item in order(self.items) if match(item)), None)

    def put(self, item):
        self.items.append(item)
        self.unfinished += 1
        self.settle()

    def take(self):
        item = self.items.pop(self.in_turn(len(self.called)))
        self.settle()
        return item

    def take_matching(self, match):
        item = self.best_match(match) if self.size else None
        if item is not None:
            self.items.remove(item)
            self.settle()
        return item

    def done(self, count):
        self.unfinished -= count
        if not self.unfinished:
            self.end(self.joiners, DONE)

    def end(self, waits, outcome):
        while waits:
            waits.pop(0).outcome = outcome

    def shutdown(self, immediate):
        self.closed = True
        if immediate:
            thrown, self.items = self.items, []
            self.end(self.called, SHUT_DOWN)
            self.done(min(len(thrown), self.unfinished))
        self.end(self.rooms, SHUT_DOWN)
        self.end(self.putters, SHUT_DOWN)
        self.due = [wait for wait in self.due if wait.outcome is None]
        self.settle()

    def cancel(self, wait):
        for line in (self.getters, self.putters, self.joiners, self.called, self.rooms, self.due):
            if wait in line:
                line.remove(wait)
        self.settle()

    def settle(self):
        while True:
            self.call_getters()
            if not self.call_putter():
                break
        if self.closed:
            for wait in list(self.getters):
                if self.size <= 0 or (wait.match and self.has_looked(wait)):
                    self.getters.remove(wait)
                    wait.outcome = SHUT_DOWN

    def has_looked(self, wait):
        return wait.refused >= set(self.items)

    def call_getters(self):
        for wait in list(self.getters):
            if self.size <= 0:
                return
            if wait.match is None:
                self.call(wait)
            elif not self.has_looked(wait):
                self.make_due(wait)
                return

    def call(self, wait):
        self.getters.remove(wait)
        if wait.thread:
            wait.outcome = self.items.pop(self.in_turn(len(self.called)))
        else:
            self.called.append(wait)
            self.make_due(wait)

    def call_putter(self):
        if not self.putters or self.full:
            return False
        wait = self.putters.pop(0)
        if wait.thread:
            wait.outcome = DONE
            self.items.append(wait.item)
            self.unfinished += 1
        else:
            self.rooms.append(wait)
            self.make_due(wait)
        return True

    def make_due(self, wait):
        if wait not in self.due:
            self.due.append(wait)

    def run(self):
        while self.due:
            wait = self.due.pop(0)
            if wait in self.called:
                index = self.in_turn(self.called.index(wait))
                self.called.remove(wait)
                wait.outcome = self.items.pop(index)
                self.settle()
            elif wait in self.rooms:
                self.rooms.remove(wait)
                wait.outcome = DONE
                self.put(wait.item)
            elif wait in self.getters:
                self.look(wait)

    def look(self, wait):
        item = self.best_match(wait.match) if self.size else None
        if item is not None:
            self.getters.remove(wait)
            self.items.remove(item)
            wait.outcome = item
        else:
            wait.refused |= set(self.items)
        self.settle()
