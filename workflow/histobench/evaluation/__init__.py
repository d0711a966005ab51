"""From predictions to scores. Never imports torch."""
