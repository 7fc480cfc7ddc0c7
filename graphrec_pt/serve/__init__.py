"""Floor 11: recommendations, explanations and exports of a finished run."""
