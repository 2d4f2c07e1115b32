"""The configuration: its schema, its validation, and the training plan of each cell."""
