"""Looking at what a shape has learnt: numbers for gates, pictures for a person."""
