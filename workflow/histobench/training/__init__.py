"""The loop, its checkpoints and the devices it runs on."""
