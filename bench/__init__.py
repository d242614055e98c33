"""The benchmark: matrices against preconditioners, counted and timed. See README.md."""
