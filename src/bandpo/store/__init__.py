"""Where runs and evaluations stand: a folder that records and resumes, and sources by name."""
