"""Tables and figures. Never imports torch."""
