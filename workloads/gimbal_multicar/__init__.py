"""The workload `multicar`: cooperating cars, each seen as one panorama."""
