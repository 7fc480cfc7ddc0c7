"""graphrec_pt: graph-centric pre-training for recommender systems."""
