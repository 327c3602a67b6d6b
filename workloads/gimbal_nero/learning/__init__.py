"""Learning the shape: rays of photographs, losses, schedules and validation."""
