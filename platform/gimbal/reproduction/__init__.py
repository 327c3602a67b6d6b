"""Would it come out again? Verifying, reproducing, exporting and removing stored runs."""
