"""What is on the GPUs: probes, whose memory it is, occupancy, the fence in Ray's accounting."""
