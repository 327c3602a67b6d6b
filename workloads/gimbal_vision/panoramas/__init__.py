"""Several cameras of one car become one panorama around it."""
