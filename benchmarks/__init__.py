"""Measurements of the whole service. Run from the repository root with the dev extra installed."""
