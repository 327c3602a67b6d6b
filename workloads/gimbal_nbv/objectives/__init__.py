"""What a policy is trained for."""
