"""Floor 13: recommendations, explanations and exports of a finished run."""
