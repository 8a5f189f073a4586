"""The worker: a supervisor, a zygote and executors."""
