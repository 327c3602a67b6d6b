"""Losses of the multi-view model, each as a sum and a count."""
