"""Being seen and steered from outside: events that a worker tells, requests that it heeds."""
