"""What a cell writes: the schema of its metrics, and the scores of its predictions."""
