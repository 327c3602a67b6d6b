"""What must hold of a data set before anybody trains on it."""
