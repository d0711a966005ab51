"""Audits of what others publish: splits, predictions, printed tables. Never imports torch."""
