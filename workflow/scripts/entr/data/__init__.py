"""Datasets: sources, downloads, downscaling, near-duplicates, packed arrays and splits."""
