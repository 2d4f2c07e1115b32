"""Deployment: export of the recommended model, its model card, and prediction with it."""
