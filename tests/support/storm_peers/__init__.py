"""Other task queues, for the same storm."""
