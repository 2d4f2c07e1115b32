"""Model architectures and their pretrained weights."""
