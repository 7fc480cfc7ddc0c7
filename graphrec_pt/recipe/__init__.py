"""Floor 10: recipes, from YAML over a validated form to the folder of a run."""
