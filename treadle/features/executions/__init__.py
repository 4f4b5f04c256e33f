"""Runs of agents: started, watched, stopped, decided on, run again."""
