"""Figures: `catalogue` lists them; each is drawn by the `plot` function of one module, from tables alone."""
