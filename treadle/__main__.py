"""``python -m treadle``."""

from treadle.main.cli import app

app()
