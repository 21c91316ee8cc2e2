"""What `bandpo doctor` asks of an engine whose adapter cannot be imported without it: one module `NAME.check` each."""
