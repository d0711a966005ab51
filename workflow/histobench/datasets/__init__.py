"""From an archive to a manifest, folds, pixels and augmented views. Knows no model."""
