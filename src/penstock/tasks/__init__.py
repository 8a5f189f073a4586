"""Tasks: functions sent through a broker, and what comes back."""
