"""What inference costs, and how long a grid will take."""
