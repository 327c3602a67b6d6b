"""Pages that are one HTML file, open offline and run no script but their own."""
