"""Other companies at which people have an account already, and that say who they are."""
