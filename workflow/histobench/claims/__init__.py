"""The ledger of published claims, and the verdict on each. Never imports torch."""
