"""Made photographs of reflective objects, with the truth beside them."""
