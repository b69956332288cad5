"""People in three dimensions: dressed, lit bodies in any pose and from any side, drawn from a seed."""
