"""The figures: `gallery` lists them, each other module draws those of one subject."""
