"""What a graph means: plan, state machine, values and dynamic pins. Pure: no I/O, no clock, no randomness."""
