"""Sources of the original images, one module per kind of source."""
