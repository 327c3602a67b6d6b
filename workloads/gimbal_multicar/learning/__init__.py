"""Training the multi-view model on cooperating cars."""
