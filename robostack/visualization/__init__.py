"""Pictures and videos of results; works without a display."""
