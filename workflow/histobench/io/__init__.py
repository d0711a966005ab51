"""Files, errors, fingerprints of code. Everything else may import this room."""
