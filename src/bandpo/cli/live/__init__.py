"""The live view of `bandpo train`: where training stands, drawn anew in place, on terminals that can show it."""
