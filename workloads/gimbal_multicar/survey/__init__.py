"""What a set of panoramas holds, in numbers."""
