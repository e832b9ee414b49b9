"""Physics engines by name: one file per engine, which says where it is."""
