"""What happened that bears on security: who did what, when, and from where. It is only ever added to."""
