"""Jobs: records and their states, the store, the controller that reconciles with Ray."""
