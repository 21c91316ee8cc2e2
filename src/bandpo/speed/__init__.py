"""Speed: peers side by side in one process, ratios and machine recorded; `bandpo bench` runs it."""
