"""Aggregation of the results, effects of the regimes, verdicts on the claims, and the recommendation."""
