"""The report: one page that opens offline and shows runs, comparisons and recorded batches."""
