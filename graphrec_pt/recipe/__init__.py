"""Floor 12: recipes, from YAML over a validated form to the folder of a run."""
