"""Compare image classifiers on breast histopathology, honestly and repeatably."""
