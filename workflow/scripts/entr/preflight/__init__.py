"""What this machine has, what the grid needs, and what to do where they do not match, before any job."""
