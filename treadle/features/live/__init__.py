"""Live events: what happens in runs, told to whoever watches as soon as it is durable."""
