"""How good a shape is: against ground truth where there is some, and on held-out photographs."""
