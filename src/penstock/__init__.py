"""penstock: message queues and background tasks, from two threads to a fleet."""
