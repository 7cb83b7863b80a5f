"""Does a program compute at N ranks what it computes at one?  ``record`` watches a run, ``compare`` judges two."""
