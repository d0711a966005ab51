"""Tables, figures and the report page. Never imports torch."""
