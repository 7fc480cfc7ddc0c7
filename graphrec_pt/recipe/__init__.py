"""Recipes: from YAML over a validated form to the folder of a run."""
