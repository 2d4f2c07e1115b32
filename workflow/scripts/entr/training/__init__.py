"""One cell of the grid: training, evaluation and checkpoints."""
