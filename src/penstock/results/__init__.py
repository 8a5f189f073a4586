"""Result stores: states and results by task id."""
