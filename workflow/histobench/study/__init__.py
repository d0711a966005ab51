"""What is to be run: configuration, the identity of a run, and the path of every artefact. No heavy import."""
