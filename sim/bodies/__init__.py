"""Bodies that are not robots of ours: benchmark models found in installed packages, never copied."""
