"""Figures: functions that take data and return a matplotlib figure. None reads a file, none imports torch."""
