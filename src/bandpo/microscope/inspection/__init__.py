"""What a trust region did to recorded tokens, in one pass over any number of them and bounded memory."""
