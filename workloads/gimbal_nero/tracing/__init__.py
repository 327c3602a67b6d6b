"""Where rays of photographs and of light meet a mesh."""
