"""The tables of a study, and the published ones beside them."""
