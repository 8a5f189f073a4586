"""Workers from outside: asking them, telling them, watching what they tell."""
