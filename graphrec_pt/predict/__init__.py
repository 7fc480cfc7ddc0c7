"""Floor 11: what a trained model predicts, for evaluation, serving and exports alike."""
