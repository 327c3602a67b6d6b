"""Puts the service together: Ray, the store, the controller, the API."""
