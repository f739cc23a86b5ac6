"""The report: every result file of the suite on one page, without torch."""
