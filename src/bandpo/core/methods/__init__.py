"""Methods of the literature and ours, each declared where its rule is written."""
