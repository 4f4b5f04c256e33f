"""YouTube: captions of videos."""
